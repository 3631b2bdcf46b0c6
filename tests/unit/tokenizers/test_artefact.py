"""Saved tokenizers: they come back equal, and anything else is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from codex_core.canonical import sha256_of
from codex_core.errors import ArtefactError
from codex_tokenizers.artefact import MANIFEST_NAME, TOKENIZER_NAME
from codex_tokenizers.bpe import BPE
from codex_tokenizers.options import BPEOptions


@pytest.fixture(scope="module")
def bpe() -> BPE:
    """A small tokenizer."""
    return BPE.train(["the theory of the thing " * 20], BPEOptions(vocab_size=300), seed=3)


@pytest.fixture
def folder(bpe: BPE, tmp_path: Path) -> Path:
    """A folder with the saved tokenizer."""
    bpe.save(tmp_path)
    return tmp_path


def test_load_gives_back_what_was_saved(bpe, folder, tmp_path_factory):
    """Fingerprint, ids and provenance survive, and saving again writes the same bytes."""
    loaded = BPE.load(folder)
    again = tmp_path_factory.mktemp("again")
    loaded.save(again)

    assert loaded.fingerprint() == bpe.fingerprint()
    assert loaded.encode("the other theory") == bpe.encode("the other theory")
    assert loaded.provenance == bpe.provenance
    for name in (MANIFEST_NAME, TOKENIZER_NAME):
        assert (again / name).read_bytes() == (folder / name).read_bytes()


def test_the_library_reads_the_saved_file_alike(bpe, folder):
    """`tokenizer.json` is no private format: the library itself gets the same ids from it."""
    library = Tokenizer.from_file(str(folder / TOKENIZER_NAME))

    assert library.encode("the  other\n theory 12345").ids == bpe.encode("the  other\n theory 12345")


@pytest.mark.parametrize("name", [MANIFEST_NAME, TOKENIZER_NAME])
@pytest.mark.parametrize("damage", ["missing", "cut", "changed", "not-json", "empty"])
def test_a_damaged_file_is_refused(folder, name, damage):
    """Neither file can be lost, cut, edited or replaced without the artefact being refused."""
    path = folder / name
    data = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        changed = data.replace(b'"vocab', b'"vocub')
        path.write_bytes(
            {"cut": data[:-20], "changed": changed, "not-json": b"\xff\xfe", "empty": b""}[damage]
        )

    with pytest.raises(ArtefactError) as caught:
        BPE.load(folder)
    assert caught.value.code == "TOK-006"
    assert name in str(caught.value.where)


def test_a_vocabulary_with_a_fitting_digest_is_still_refused(folder):
    """Whoever edits the vocabulary and the file's digest together is caught by the fingerprint or by the gaps."""
    path, manifest_path = folder / TOKENIZER_NAME, folder / MANIFEST_NAME
    content, manifest = json.loads(path.read_text()), json.loads(manifest_path.read_text())
    swapped = content["model"]["vocab"]
    swapped["a"], swapped["b"] = swapped["b"], swapped["a"]
    for vocab in (swapped, {"a": 0}, {token: number + 1 for token, number in swapped.items()}):
        content["model"]["vocab"] = vocab
        path.write_text(json.dumps(content))
        manifest["files"][TOKENIZER_NAME] = sha256_of(path.read_bytes())
        manifest_path.write_text(json.dumps(manifest))

        with pytest.raises(ArtefactError):
            BPE.load(folder)


def test_an_artefact_of_another_kind_is_refused(folder):
    """A manifest of another kind or format is named with what was expected."""
    path = folder / MANIFEST_NAME
    path.write_text(json.dumps(json.loads(path.read_text()) | {"kind": "unigram"}))

    with pytest.raises(ArtefactError, match="no usable tokenizer") as caught:
        BPE.load(folder)
    assert "'unigram'" in str(caught.value.why)

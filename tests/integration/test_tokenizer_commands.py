"""`codex tokenizer`: learning by a recipe, staleness, pipes, places, and what is said when something is missing."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys

import pytest

pytest.importorskip("codex_tokenizers")

from codex_core.cli.main import main
from tests.support.commands import Project

TEXT = "naïve 🚀 x"

RECIPE = """\
tokenizer: {name: bpe, vocab_size: 320}
corpus: ["texts/*.txt", rows.jsonl]
out: out/words
"""

#: A recipe per kind that learns.
RECIPES = {
    "bpe": RECIPE,
    "unigram": RECIPE.replace(
        "name: bpe, vocab_size: 320", "name: sentencepiece, vocab_size: 300, coverage: 1.0"
    ),
    "sentencepiece-bpe": RECIPE.replace(
        "name: bpe, vocab_size: 320", "name: sentencepiece, vocab_size: 300, model: bpe"
    ),
    "whitespace": RECIPE.replace("name: bpe, vocab_size: 320", "name: whitespace, vocab_size: 50"),
}


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """One index of plugins for all tests here."""
    return tmp_path_factory.mktemp("index")


@pytest.fixture
def folder(tmp_path, monkeypatch, index):
    """A project with a recipe and its corpus; the working directory; no variable names a tokenizer."""
    (tmp_path / ".codex").mkdir()
    (tmp_path / "texts").mkdir()
    for number in range(4):
        body = "".join(
            f"def function_{number}_{line}():\n    return naïve words, {line}\n\n" for line in range(9)
        )
        (tmp_path / "texts" / f"{number}.txt").write_text(body, encoding="utf-8")
    (tmp_path / "rows.jsonl").write_text(json.dumps({"text": "a row of words"}) + "\n")
    (tmp_path / "t.yaml").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CODEX_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CODEX_INDEX", str(index))
    for name in ("CODEX_TOKENIZER", "CODEX_TOKENIZERS"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def codex(capsysbinary, monkeypatch):
    """A function that runs a command over bytes of standard input: exit code, stdout, stderr."""

    def run(*arguments: str, given: bytes = b"") -> tuple[int, bytes, str]:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(given)))
        code = main(list(arguments))
        said = capsysbinary.readouterr()
        return code, said.out, said.err.decode()

    return run


def train(codex, *more: str) -> dict:
    """Learn by `t.yaml`; the manifest."""
    code, out, err = codex("tokenizer", "train", "--config", "t.yaml", "--json", *more)
    assert code == 0, err
    return json.loads(out)["manifest"]


@pytest.mark.parametrize("kind", RECIPES)
def test_training_by_a_recipe_gives_the_same_digest_twice(kind, folder, codex):
    """TOK-1: a folder with the kind's file and a manifest of digest, recipe and corpus hashes; twice the same."""
    if "sentencepiece" in RECIPES[kind]:
        pytest.importorskip("sentencepiece")
    (folder / "t.yaml").write_text(RECIPES[kind])
    first = train(codex)
    again = train(codex, "out=out/again")

    assert first["tokenizer"] == again["tokenizer"]
    assert first["corpus"] == again["corpus"]
    assert {one["path"] for one in first["corpus"]} == {"rows.jsonl", *(f"texts/{n}.txt" for n in range(4))}
    assert first["digest"] == again["digest"]
    written = json.loads((folder / "out" / "words" / "manifest.json").read_text())
    assert written == first and str(folder) not in json.dumps(written)
    assert {*first["tokenizer"]["files"], "manifest.json"} == {
        path.name for path in (folder / "out/words").iterdir()
    }


def test_progress_goes_to_stderr_and_the_folder_to_stdout(folder, codex):
    """TOK-1: what is said on the way is no data; the answer is where the tokenizer is."""
    code, out, err = codex("tokenizer", "train", "--config", "t.yaml")

    assert (code, out) == (0, b"out/words\n")
    assert "training the tokenizer" in err


@pytest.mark.parametrize("given", ["", TEXT, "  a\n\n\tb \r\n", "<|codex:eos|>\n", "\ufeffx\u2028\u2581"])
@pytest.mark.parametrize("tokenizer", ["out/words", "bytes"])
def test_what_is_encoded_is_decoded_byte_for_byte(tokenizer, given, folder, codex):
    """TOK-2: as an argument and through pipes the text comes back, line ends included; logs stay on stderr."""
    train(codex)
    code, ids, _ = codex("tokenizer", "encode", "-t", tokenizer, given=given.encode())
    assert code == 0
    assert codex("tokenizer", "decode", "-", "-t", tokenizer, given=ids)[:2] == (0, given.encode())
    if given:
        assert codex("tokenizer", "encode", "-t", tokenizer, "--", given)[1] == ids
        assert codex("tokenizer", "decode", "-t", tokenizer, *ids.decode().split())[1] == given.encode()


@pytest.mark.slow
def test_a_pipe_of_processes_gives_the_same_bytes(folder, codex):
    """TOK-2: `codex tokenizer encode TEXT | codex tokenizer decode -`, as a shell runs it."""
    train(codex)
    command = f"{sys.executable} -m codex_core tokenizer"
    environ = {**os.environ, "CODEX_TOKENIZER": "out/words"}
    done = subprocess.run(
        f'{command} encode "{TEXT}" | {command} decode -',
        shell=True,
        env=environ,
        capture_output=True,
        check=True,
    )

    assert done.stdout == TEXT.encode()


def test_rows_travel_through_pipes(folder, codex):
    """Rows of JSON in and out, one per line; other fields go along; a bad row is named by its number."""
    train(codex)
    rows = [{"text": "words\n", "id": 7}, {"text": ""}, {"text": TEXT}]
    given = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()

    code, out, _ = codex("tokenizer", "encode", "--lines", "-t", "out/words", given=given)
    assert code == 0 and b'"id": 7' in out
    code, back, _ = codex("tokenizer", "decode", "--lines", "-t", "out/words", given=out)
    assert [json.loads(line) for line in back.splitlines()] == rows
    for bad in (
        b'{"text": "a"}\nx\n',
        b'{"text": "a"}\n{"txt": 1}\n',
        b'{"text": "a"}\n{"text": 1}\n',
        b'{"text": "a"}\n[]\n',
    ):
        code, _, err = codex("tokenizer", "encode", "--lines", "-t", "out/words", given=bad)
        assert code == 4 and "TOK-021" in err and "line 2" in err
    for command, given in (("encode", b"\xff"), ("decode", b"12 x")):
        code, out, err = codex("tokenizer", command, "-", "-t", "bytes", given=given)
        assert (code, out) == (4, b"") and "TOK-021" in err


def test_special_tokens_are_read_when_they_are_allowed(folder, codex):
    """`--allow-special` makes an id of a spelt special token; without it the spelling is text."""
    train(codex)

    assert codex("tokenizer", "encode", "-t", "out/words", "--allow-special", "<|codex:eos|>")[1] == b"1\n"
    assert b"1\n" != codex("tokenizer", "encode", "-t", "out/words", "<|codex:eos|>")[1]


def test_a_missing_file_of_the_corpus_is_named(folder, codex):
    """TOK-3: with a file deleted `validate` ends with 4 and names it; a table of all files stands on stdout."""
    train(codex)
    assert codex("tokenizer", "validate", "out/words")[0] == 0
    (folder / "texts" / "2.txt").unlink()
    code, out, err = codex("tokenizer", "validate", "out/words")

    assert code == 4 and "texts/2.txt is missing" in err
    assert b"texts/1.txt" in out and b"same" in out and b"missing" in out


@pytest.mark.parametrize("place", ["out/words", "t.yaml"])
def test_a_changed_byte_makes_it_stale_and_refresh_renews_the_hashes(place, folder, codex):
    """TOK-5: one byte of the corpus: `validate` is 1 and names the file; `refresh` is 0 with new hashes; then fresh."""
    before = train(codex)
    data = bytearray((folder / "texts" / "1.txt").read_bytes())
    data[3] ^= 1
    (folder / "texts" / "1.txt").write_bytes(data)

    code, out, err = codex("tokenizer", "validate", place, "--json")
    assert code == 1 and json.loads(out)["verdict"] == "stale"
    assert {"part": "corpus", "name": "texts/1.txt", "state": "changed"} in json.loads(out)["findings"]
    code, out, err = codex("tokenizer", "refresh", place, "--json")
    assert code == 0 and "texts/1.txt is changed" in err
    after = json.loads(out)["manifest"]
    assert after["corpus"] != before["corpus"] and after["digest"] != before["digest"]
    assert codex("tokenizer", "validate", place)[0] == 0
    code, out, err = codex("tokenizer", "refresh", place)
    assert (code, out) == (0, b"out/words\n") and "nothing has changed" in err
    assert [path.name for path in (folder / "out").iterdir()] == ["words"]


def test_everything_that_decides_is_watched(folder, codex):
    """A new file, an edited recipe, an edited template, a damaged artefact, no artefact: each has its verdict."""
    (folder / "mine.jinja").write_text("{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}")
    (folder / "t.yaml").write_text(RECIPE.replace("vocab_size: 320", "vocab_size: 320, template: mine.jinja"))
    assert codex("tokenizer", "validate", "t.yaml")[0] == 1
    train(codex)
    assert codex("tokenizer", "validate", "t.yaml")[0] == 0

    (folder / "texts" / "9.txt").write_text("new\n")
    code, _, err = codex("tokenizer", "validate", "out/words")
    assert code == 1 and "texts/9.txt is new" in err
    (folder / "texts" / "9.txt").unlink()
    template = (folder / "mine.jinja").read_text()
    (folder / "mine.jinja").write_text(template + "\n")
    assert codex("tokenizer", "validate", "out/words")[0] == 1
    (folder / "mine.jinja").write_text(template)
    (folder / "t.yaml").write_text((folder / "t.yaml").read_text().replace("320", "310"))
    assert codex("tokenizer", "validate", "t.yaml")[0] == 1
    assert codex("tokenizer", "validate", "out/words")[0] == 0
    path = folder / "out" / "words" / "tokenizer.json"
    path.write_bytes(path.read_bytes() + b" ")
    code, _, err = codex("tokenizer", "validate", "out/words")
    assert code == 7 and "tokenizer.json is damaged" in err


def test_a_dry_run_writes_nothing(folder, codex):
    """TOK-4: the plan is JSON on stdout; no file appears, and a mistake of the recipe is found all the same."""
    before = sorted(folder.rglob("*"))
    code, out, _ = codex("tokenizer", "train", "--config", "t.yaml", "--dry-run", "tokenizer.vocab_size=400")

    plan = json.loads(out)
    assert code == 0 and sorted(folder.rglob("*")) == before
    assert plan["recipe"]["tokenizer"]["vocab_size"] == 400
    assert plan["bytes"] == sum(one["bytes"] for one in plan["files"])
    code, _, err = codex("tokenizer", "train", "--config", "t.yaml", "--dry-run", "tokenizer.vocab_sise=400")
    assert code == 2 and "vocab_size" in err


@pytest.mark.parametrize("size", ["7", "4096"])
def test_the_reading_size_changes_nothing(size, folder, codex):
    """TOK-4: read seven bytes at a time, a corpus gives the same digest as at once."""
    expected = train(codex)

    assert train(codex, "out=out/streamed", "--stream-chunk-size", size)["digest"] == expected["digest"]


def test_nothing_is_replaced_in_silence(folder, codex):
    """A folder that exists is exit 4 and untouched; `--force` replaces it whole."""
    first = train(codex)
    (folder / "texts" / "1.txt").write_text("other words\n")
    code, _, err = codex("tokenizer", "train", "--config", "t.yaml")
    assert code == 4 and "TOK-020" in err
    assert json.loads((folder / "out/words/manifest.json").read_text()) == first

    assert train(codex, "--force")["digest"] != first["digest"]
    assert codex("tokenizer", "validate", "out/words")[0] == 0


@pytest.mark.parametrize(
    "command", [("validate", "out/words"), ("validate", "t.yaml"), ("refresh", "out/words")]
)
def test_a_killed_replacement_leaves_the_former_one(command, folder, codex):
    """Killed between its two renames, a replacement is undone by the next command, whichever it is."""
    train(codex)
    (folder / "out" / "words").rename(folder / "out" / ".words.old-123")
    (folder / "out" / ".words.tmp-123").mkdir()

    assert codex("tokenizer", *command)[0] == 0
    assert codex("tokenizer", "show", "-t", "out/words")[0] == 0


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        ("tokenizer: {vocab_size: 300}\ncorpus: [texts/0.txt]\nout: x\n", 2, "names no kind"),
        ("tokenizer: bpe\ncorpus: []\nout: x\n", 2, "names no files"),
        ("tokenizer: bpe\nout: x\n", 2, "corpus"),
        ("tokenizer: bpe\ncorpus: [texts/0.txt]\nout: x\nsede: 1\n", 2, "seed"),
        ("tokenizer: {name: bpe, vocab_size: 3}\ncorpus: [texts/0.txt]\nout: x\n", 2, "at least 259"),
        ("tokenizer: bpee\ncorpus: [texts/0.txt]\nout: x\n", 2, "bpe"),
        ("tokenizer: bpe\ncorpus: [nothing/*.txt]\nout: x\n", 4, "no file matches"),
        ("tokenizer: bpe\ncorpus: [absent.txt]\nout: x\n", 4, "absent.txt"),
        ("- a\n", 2, "mapping"),
    ],
)
def test_a_mistake_in_a_recipe_is_told_with_its_place(text, code, says, folder, codex):
    """Unknown keys, missing parts, bounds and files: exit 2 or 4, and nothing is written."""
    (folder / "t.yaml").write_text(text)

    found, out, err = codex("tokenizer", "train", "--config", "t.yaml")
    assert (found, out) == (code, b"") and says in err
    assert not (folder / "x").exists()


def test_stats_are_numbers(folder, codex):
    """TOK-7: vocabulary, tokens, bytes per token and the share of unknown words, as JSON and as a table."""
    train(codex)
    code, out, _ = codex(
        "tokenizer", "stats", "-t", "out/words", "--corpus", "texts/0.txt", "--corpus", "rows.jsonl", "--json"
    )
    found = json.loads(out)

    assert code == 0 and found["vocab_size"] > 259
    size = (folder / "texts/0.txt").stat().st_size + len("a row of words")
    assert found["bytes"] == size and found["bytes_per_token"] == size / found["tokens"]
    assert found["unknown_rate"] == 0.0
    (folder / "t.yaml").write_text(RECIPES["whitespace"])
    train(codex, "out=out/ws", "tokenizer.vocab_size=500")
    (folder / "other.jsonl").write_text(json.dumps({"body": "never heard words"}) + "\n")
    code, out, _ = codex(
        "tokenizer", "stats", "-t", "out/ws", "--corpus", "other.jsonl", "--field", "body", "--json"
    )
    assert json.loads(out)["unknown_rate"] == 2 / 3
    assert b"unknown_rate" in codex("tokenizer", "stats", "-t", "out/ws", "--corpus", "texts/0.txt")[1]


def test_show_names_backend_and_template(folder, codex):
    """What encodes, the template, the border rule, the fingerprint; another backend is shown when it is asked for."""
    manifest = train(codex)
    found = json.loads(codex("tokenizer", "show", "-t", "out/words", "--json", "--backend", "hf")[1])

    assert found["backend"] == "hf" and found["template"] == "plain" and found["border_rule"] == "segments/1"
    assert found["fingerprint"] == manifest["tokenizer"]["fingerprint"]
    code, _, err = codex("tokenizer", "show", "-t", "bytes", "--backend", "tiktoken")
    assert code == 2 and "TOK-008" in err


@pytest.mark.slow
@pytest.mark.parametrize("library", ["tiktoken", "sentencepiece"])
def test_an_absent_library_is_named_with_its_extra(library, folder, codex):
    """TOK-8: without the library of a backend or kind, asking for it is exit 3 with the install line."""
    pytest.importorskip(library)
    if library == "sentencepiece":
        (folder / "t.yaml").write_text(RECIPES["unigram"])
    train(codex)
    backend = ["--backend", "tiktoken"] if library == "tiktoken" else []
    project = Project(folder).without(library)
    said = project.codex("tokenizer", "encode", "words", "-t", "out/words", *backend)

    assert said.code == 3 and f"codex-tokenizers[{library}]" in said.err and said.out == ""
    if library == "tiktoken":
        plain = project.codex("tokenizer", "encode", "words", "-t", "out/words")
        assert plain.code == 0 and plain.err == ""


def test_every_listed_tokenizer_can_encode(folder, codex):
    """TOK-9: each name of `registry list tokenizers` encodes a text."""
    pytest.importorskip("sentencepiece")
    code, out, _ = codex("registry", "list", "tokenizers", "--json")
    names = {
        row["name"] for row in json.loads(out)["rows"] if row["dist"] in ("codex-core", "codex-tokenizers")
    }
    assert names == {"bytes", "bpe", "hf", "sentencepiece", "whitespace"}
    recipes = {"bpe": "bpe", "sentencepiece": "unigram", "whitespace": "whitespace"}
    for name, kind in recipes.items():
        (folder / "t.yaml").write_text(RECIPES[kind])
        train(codex, f"out={name}")
    (folder / "hf").mkdir()
    from codex_tokenizers.examples import write_model_folder

    write_model_folder(folder / "hf")
    for name in names:
        code, out, err = codex("tokenizer", "encode", "-t", name, "words")
        assert code == 0 and out.split(), err


def test_every_place_that_was_tried_is_listed(folder, codex, monkeypatch):
    """TOK-10: argument, environment, catalogues, in this order; on failure exit 4 lists them all."""
    for arguments in ([], ["-t", "words"]):
        code, out, err = codex("tokenizer", "encode", *arguments, "x")
        assert (code, out) == (4, b"") and "TOK-007" in err
        name = arguments[-1] if arguments else "default"
        for place in (name, folder / ".codex/tokenizers" / name, folder / "home/tokenizers" / name):
            assert str(place) in err
        assert "CODEX_TOKENIZERS is not set" in err
    train(codex)
    monkeypatch.setenv("CODEX_TOKENIZERS", str(folder / "out"))
    assert codex("tokenizer", "encode", "-t", "words", "x")[0] == 0
    monkeypatch.setenv("CODEX_TOKENIZER", "words")
    assert codex("tokenizer", "encode", "x")[0] == 0
    monkeypatch.delenv("CODEX_TOKENIZERS")
    assert codex("tokenizer", "encode", "x")[0] == 4
    shutil.copytree(folder / "out/words", folder / "home/tokenizers/words")
    assert codex("tokenizer", "encode", "x")[0] == 0


def test_a_configuration_may_name_a_tokenizer_of_a_catalogue(folder, codex):
    """TOK-10: `tokenizer.path` takes the name that a catalogue knows; an unknown one lists every place."""
    train(codex, "out=.codex/tokenizers/words")
    (folder / "run.yaml").write_text(
        "data: {sources: [{name: text, path: texts}], split: [1, 0, 0], seq_len: 16}\n"
        "tokenizer: {name: bpe, path: words}\nmodel: {name: ngram, order: 2}\ntrainer: {name: ngram}\n"
        "safety: {name: none, reason: a test}\nevaluation: {every: 0}\n"
    )
    code, _, err = codex("data", "prepare", "run.yaml", "--bypass-safety", "a test")
    assert code == 0, err
    code, _, err = codex("data", "prepare", "run.yaml", "tokenizer.path=absent", "--bypass-safety", "a test")
    assert code == 4 and "TOK-007" in err and str(folder / ".codex/tokenizers/absent") in err

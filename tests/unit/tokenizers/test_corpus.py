"""The texts of a recipe: the same pieces for any reading size and any split into files, strictly read, hashed."""

from __future__ import annotations

import hashlib
import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_core.errors import InputError
from codex_tokenizers import corpus as corpus_module
from codex_tokenizers.corpus import Corpus

LINES = ["def f():\n", "    return 1\n", "\n", "naïve 🚀\n", "\tend\n", "x\n"]


def pieces(paths: list[Path], **given) -> list[str]:
    """The texts of files."""
    return list(Corpus([(path.name, path) for path in paths], **given))


@given(
    lines=st.lists(st.sampled_from(LINES), max_size=30),
    at=st.sets(st.integers(1, 29)),
    size=st.integers(1, 9),
)
@settings(max_examples=60)
def test_pieces_depend_on_neither_reading_size_nor_files(tmp_path_factory, lines, at, size):
    """Split at any line ends into files and read in chunks of any size, a text gives the same pieces."""
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "whole.txt").write_text("".join(lines))
    cuts = [0, *sorted(place for place in at if place < len(lines)), len(lines)]
    parts = []
    for number, (start, end) in enumerate(pairwise(cuts)):
        parts.append(folder / f"{number:02}.txt")
        parts[-1].write_text("".join(lines[start:end]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corpus_module, "PIECE_CHARACTERS", 12)
        expected = pieces([folder / "whole.txt"])

        assert "".join(expected) == "".join(lines)
        assert pieces(parts, chunk_bytes=size) == expected


def test_a_file_without_a_last_line_end_ends_a_piece(tmp_path):
    """Words of two files are never joined."""
    for name, text in {"a.txt": "one", "b.txt": "two\n"}.items():
        (tmp_path / name).write_text(text)

    assert pieces([tmp_path / "a.txt", tmp_path / "b.txt"]) == ["one", "two\n"]


def test_rows_are_texts_of_their_own(tmp_path):
    """JSON Lines give one text per row, whatever stands around them."""
    (tmp_path / "a.txt").write_text("before\n")
    rows = ["first\n", "", "séc\u2028ond"]
    (tmp_path / "b.jsonl").write_text(
        "".join(json.dumps({"body": row}, ensure_ascii=False) + "\n" for row in rows)
    )
    paths = [tmp_path / "a.txt", tmp_path / "b.jsonl"]

    assert pieces(paths, field="body", chunk_bytes=3) == ["before\n", *rows]


def test_files_are_hashed_while_they_are_read(tmp_path):
    """After a pass each file is known by name, size and digest, and progress was told to the last byte."""
    (tmp_path / "a.txt").write_bytes(b"some text\n")
    told: list[int] = []
    corpus = Corpus([("sub/a.txt", tmp_path / "a.txt")], chunk_bytes=4, on_bytes=told.append)
    list(corpus)

    assert [(one.path, one.bytes) for one in corpus.files] == [("sub/a.txt", 10)]
    assert corpus.files[0].sha256 == "sha256:" + hashlib.sha256(b"some text\n").hexdigest()
    assert told == [4, 8, 10]


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("a.txt", b"ab\xff", "not UTF-8"),
        ("a.txt", b"ab\xc3", "not UTF-8"),
        ("a.jsonl", b'{"text": "a"}\n{"text": ', "line 2 is no JSON"),
        ("a.jsonl", b'{"text": "a"}\n\n{"text": "b"}\n', "line 2 is no JSON"),
        ("a.jsonl", b'{"txt": "a"}\n', "line 1 has no text in the field 'text'"),
        ("a.jsonl", b"[1]\n", "line 1 has no text"),
        ("a.jsonl", b'{"text": 1}\n', "line 1 has no text"),
        ("absent.txt", None, "No such file"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(name, data, why, tmp_path):
    """Bad bytes, cut rows, missing fields and missing files are errors with the file, never skipped."""
    path = tmp_path / name
    if data is not None:
        path.write_bytes(data)

    with pytest.raises(InputError) as caught:
        pieces([path])
    assert caught.value.code == "TOK-019"
    assert why in str(caught.value.why)
    assert caught.value.where == str(path)

"""Reading in parts."""

from __future__ import annotations

import json
import time
from itertools import pairwise

import attrs
import pytest

from codex_core.data.inputs import InputFile
from codex_core.data.jsonl import JsonlDataset
from codex_core.data.options import JsonlOptions, TextOptions
from codex_core.data.parts import EVERYTHING, parts_of, read_part, refuse_too_many, skipped_of
from codex_core.data.text import TextDataset
from codex_core.errors import InputError
from codex_core.records import Part
from tests.support.data_plans import TurnsDataset, TurnsOptions


@pytest.fixture
def rows(tmp_path):
    """Three files of rows: lines of many lengths, one without a last line end, one empty."""
    for name, lengths in (("a", [0, 700, 3, 90, 90, 2000, 5]), ("b", []), ("c", [60] * 40)):
        lines = [json.dumps({"text": f"{name}{i}" + "x" * length}) for i, length in enumerate(lengths)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines) + ("\n" if name == "c" else ""))
    return tmp_path


@pytest.mark.parametrize("part_bytes", [1, 2, 50, 64, 100, 1000, 1 << 20])
def test_parts_together_are_the_whole(rows, part_bytes):
    """Whatever the size of parts: the same records in the same order, in any process, from plain values."""
    options = JsonlOptions(path=str(rows))
    dataset = JsonlDataset(options)
    parts = dataset.parts(part_bytes)
    sent = json.loads(json.dumps([attrs.asdict(part) for part in parts]))

    read = [record for values in sent for record in JsonlDataset(options).read(Part(**values))]
    assert read == list(dataset.records())
    assert parts[0].start == 0
    for before, part in pairwise(parts):
        assert part.start == (before.end if part.file == before.file else 0)
    assert {part.file: part.end for part in parts} == {
        name: (rows / name).stat().st_size for name in ("a.jsonl", "c.jsonl")
    }


def test_parts_are_about_as_long_as_asked(rows):
    """A part ends at the first line border at or after each multiple of the size."""
    (rows / "even.jsonl").write_bytes(b'{"text": 1}\n' * 100)
    dataset = JsonlDataset(JsonlOptions(path=str(rows / "even.jsonl")))

    assert [(part.start, part.end, part.row) for part in dataset.parts(600)] == [(0, 600, 1), (600, 1200, 51)]
    assert [part.end for part in dataset.parts(500)] == [504, 1008, 1200]


def test_errors_in_a_part_name_the_line_of_the_file(rows):
    """The physical line is that of the whole file, and a part knows its own skipped rows."""
    with (rows / "c.jsonl").open("a") as file:
        file.write("broken\n")
    dataset = JsonlDataset(JsonlOptions(path=str(rows / "c.jsonl")))
    last = dataset.parts(100)[-1]

    with pytest.raises(InputError) as caught:
        list(dataset.read(last))
    assert caught.value.where.endswith("c.jsonl:41")


def test_a_file_that_became_shorter_is_refused(rows):
    """A part that is not there any more is an error, and no silent end."""
    dataset = JsonlDataset(JsonlOptions(path=str(rows)))
    parts = [part for part in dataset.parts(100) if part.file == "c.jsonl"]
    data = (rows / "c.jsonl").read_bytes()
    (rows / "c.jsonl").write_bytes(data[: parts[-1].start])

    with pytest.raises(InputError) as caught:
        list(dataset.read(parts[-1]))
    assert caught.value.code == "DAT-010"
    (rows / "c.jsonl").unlink()
    with pytest.raises(InputError, match=r"c\.jsonl is not there"):
        list(JsonlDataset(JsonlOptions(path=str(rows))).read(parts[0]))


@pytest.mark.parametrize("document", ["file", "paragraph", "line"])
def test_texts_have_parts(tmp_path, document):
    """A file is cut only where a document is a line."""
    (tmp_path / "a.txt").write_text("one\n\ntwo\nthree\n  \nfour")
    dataset = TextDataset(TextOptions(path=str(tmp_path), document=document))
    parts = dataset.parts(4)

    assert [record for part in parts for record in dataset.read(part)] == list(dataset.records())
    assert len(parts) == (5 if document == "line" else 1)


def test_a_dataset_without_parts_is_one(rows):
    """Whoever offers no parts and no account is read as a whole."""
    dataset = TurnsDataset(TurnsOptions())

    assert parts_of(dataset, 10) == (EVERYTHING,)
    assert list(read_part(dataset, EVERYTHING)) == list(dataset.records())
    assert skipped_of(dataset) == {}
    refuse_too_many(dataset, {"not-json": 10**6})


def test_skips_of_parts_are_bounded_together(rows):
    """What each part may skip, all together may not."""
    dataset = JsonlDataset(JsonlOptions(path=str(rows), on_error="skip", max_skip=3))

    refuse_too_many(dataset, {"not-json": 2, "no-field": 1})
    with pytest.raises(InputError, match="4 rows cannot be read, at most 3") as caught:
        refuse_too_many(dataset, {"not-json": 2, "no-field": 2})
    assert caught.value.code == "DAT-021"


def test_digests_are_taken_again_when_a_file_changes(rows, monkeypatch):
    """An old file is hashed once; a young one each time, because its times may not tell."""
    asked = []
    digest = InputFile.identity
    monkeypatch.setattr(InputFile, "identity", lambda file: asked.append(file.name) or digest(file))
    path = rows / "c.jsonl"
    dataset = JsonlDataset(JsonlOptions(path=str(path)))
    first = dataset.identity()
    assert dataset.identity() == first
    assert len(asked) == 2, "the file was just written"

    monkeypatch.setattr(time, "time_ns", lambda: path.stat().st_ctime_ns + 10**11)
    assert dataset.identity() == dataset.identity() == first
    assert len(asked) == 3
    path.write_bytes(path.read_bytes().replace(b"c0", b"d0"))
    assert dataset.identity() != first

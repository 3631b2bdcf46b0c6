"""JSON Lines, read strictly."""

from __future__ import annotations

import pytest

from codex_core.data.jsonl import JsonlDataset
from codex_core.data.options import JsonlOptions
from codex_core.errors import InputError
from codex_core.testing.datasets import check_dataset


def read(folder, data: bytes, **options):
    """The records of one file with these bytes."""
    (folder / "rows.jsonl").write_bytes(data)
    return list(JsonlDataset(JsonlOptions(path=str(folder / "rows.jsonl"), **options)).records())


def test_it_keeps_the_promises_of_a_dataset(tmp_path):
    """The conformance suite of datasets passes."""
    (tmp_path / "rows.jsonl").write_bytes(b'{"text": "a"}\n{"text": "b", "n": 1.5}\n')

    check_dataset(JsonlDataset, JsonlOptions(path=str(tmp_path)))


def test_lines_end_at_one_byte_only(tmp_path):
    """U+2028, U+0085 and carriage returns stay inside a row; the last line needs no end."""
    records = read(tmp_path, '\ufeff{"text": "a\u2028b\u0085c"}\r\n{"text": "d"}'.encode())

    assert [record.text for record in records] == ["a\u2028b\u0085c", "d"]
    assert [record.source for record in records] == [("rows.jsonl", 1), ("rows.jsonl", 2)]


def test_other_fields_hold_what_they_like(tmp_path):
    """Fields that are not read may hold anything that is JSON, integers beyond 64 bits included."""
    huge = b"9" * 300
    records = read(tmp_path, b'{"n": ' + huge + b', "o": [{"text": null}], "text": "kept"}\n')

    assert [record.text for record in records] == ["kept"]


def test_field_and_group_are_named(tmp_path):
    """Text and group come from the fields that the options name."""
    records = read(tmp_path, b'{"body": "x", "page": "p1"}\n', field="body", group="page")

    assert [(record.text, record.group) for record in records] == [("x", "p1")]


BAD = {
    "broken": (b'{"text": "a"', "DAT-004", "expected one JSON object"),
    "empty line": (b"", "DAT-004", "an empty line"),
    "array": (b'["text"]', "DAT-004", "found array"),
    "number": (b"12", "DAT-004", "found number"),
    "two objects": (b'{"text": "a"}{"text": "b"}', "DAT-004", "expected one JSON object"),
    "nan": (b'{"text": "a", "n": NaN}', "DAT-004", "expected one JSON object"),
    "infinity": (b'{"text": "a", "n": -Infinity}', "DAT-004", "expected one JSON object"),
    "too large": (b'{"text": "a", "n": 1e999}', "DAT-004", "infinity"),
    "repeated key": (b'{"text": "a", "text": "b"}', "DAT-004", "'text' twice"),
    "repeated key within": (b'{"text": "a", "n": {"k": 1, "k": 2}}', "DAT-004", "'k' twice"),
    "too deep": (b'{"text": "a", "n": ' + b"[" * 2000 + b"]" * 2000 + b"}", "DAT-004", "expected one JSON"),
    "not utf-8": (b'{"text": "\xff"}', "DAT-003", "0xff"),
    "utf-8 surrogate": (b'{"text": "\xed\xa0\x80"}', "DAT-003", "0xed"),
    "escaped surrogate": (b'{"text": "\\ud800"}', "DAT-004", "surrogate"),
    "raw control": (b'{"text": "a\tb"}', "DAT-004", "control character"),
    "missing field": (b'{"txt": "a"}', "DAT-005", "found no such field"),
    "null": (b'{"text": null}', "DAT-005", "found null"),
    "wrong type": (b'{"text": 3}', "DAT-005", "found number"),
    "truth value": (b'{"text": true}', "DAT-005", "found boolean"),
    "object": (b'{"text": {}}', "DAT-005", "found object"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_row_is_refused_with_its_line(tmp_path, name):
    """Each kind of bad row is one error with code, file, line, and what was found."""
    row, code, found = BAD[name]

    with pytest.raises(InputError) as caught:
        read(tmp_path, b'{"text": "fine"}\n' + row + b"\n")

    assert caught.value.code == code
    assert caught.value.where == f"{tmp_path / 'rows.jsonl'}:2"
    assert found in str(caught.value)


def test_a_long_line_is_refused(tmp_path):
    """A line beyond the limit is refused; one of exactly that length is read."""
    row = b'{"text": "abc"}'

    assert len(read(tmp_path, row + b"\n" + row, max_line_bytes=len(row))) == 2
    with pytest.raises(InputError, match="longer than 14 bytes"):
        read(tmp_path, row + b"\n", max_line_bytes=len(row) - 1)


def test_a_missing_file_is_refused(tmp_path):
    """A path that does not exist is an input error with exit code 4."""
    with pytest.raises(InputError) as caught:
        JsonlDataset(JsonlOptions(path=str(tmp_path / "none.jsonl"))).identity()

    assert int(caught.value.exit_code) == 4


def test_a_message_does_not_show_the_text(tmp_path):
    """The error names the fields of the row, not what they hold: it may be secret."""
    with pytest.raises(InputError) as caught:
        read(tmp_path, b'{"password": "hunter2"}\n')

    assert "password" in str(caught.value)
    assert "hunter2" not in str(caught.value)

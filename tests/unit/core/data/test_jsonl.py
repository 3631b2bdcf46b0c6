"""JSON Lines, read strictly."""

from __future__ import annotations

import json

import pytest

from codex_core.data.jsonl import JsonlDataset
from codex_core.data.options import JsonlOptions
from codex_core.errors import InputError, UsageError
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
    "repeated key in another spelling": (b'{"text": "a", "te\\u0078t": "b"}', "DAT-004", "'text' twice"),
    "repeated key behind a look-alike": (
        b'{"a\\": ": 1, "text": "b", "text" :"c"}',
        "DAT-004",
        "'text' twice",
    ),
    "repeated key before spaces": (b'{"text" : "a", "text"\t: "b"}', "DAT-004", "'text' twice"),
    "too deep for the parser": (
        b'{"text": "a", "n": ' + b"[" * 1024 + b"]" * 1024 + b"}",
        "DAT-004",
        "nesting beyond",
    ),
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


def test_keys_that_only_look_repeated_are_read(tmp_path):
    """Colons, quotes and keys inside of texts, and equal keys of different objects, are no repetition."""
    rows = [
        {"text": 'he said "text": "x" : {"text": 1}', "text ": "b"},
        {"text": "a :: b", "n": [{"k": 1}, {"k": 2, "m": {"k": 3}}]},
    ]
    data = "".join(json.dumps(row) + "\n" for row in rows)

    assert [record.text for record in read(tmp_path, data.encode())] == [row["text"] for row in rows]


def test_nesting_within_the_limit_is_read_and_beyond_it_refused(tmp_path):
    """The limit counts open objects and arrays, the row itself included; brackets in texts do not count."""
    row = b'{"text": "' + b"[" * 50 + b'", "n": [[1]]}'

    assert len(read(tmp_path, row, max_nesting=3)) == 1
    with pytest.raises(InputError, match="nesting beyond 2 levels"):
        read(tmp_path, row, max_nesting=2)


def test_deepest_nesting_that_the_parser_takes_is_read(tmp_path):
    """1,024 levels are read by default."""
    row = b'{"n": ' + b"[" * 1023 + b"]" * 1023 + b', "text": "a"}'

    assert [record.text for record in read(tmp_path, row)] == ["a"]


def test_skipped_rows_are_counted_by_reason(tmp_path):
    """With on_error: skip the readable rows come with their lines, the others are counted."""
    data = b'{"text": "a"}\n\n{"text": 1}\n{"t": ""}\n{"text": "\xff"}\n' + b"x" * 40 + b'\n{"text": "b"}\n'
    (tmp_path / "rows.jsonl").write_bytes(data)
    options = JsonlOptions(path=str(tmp_path / "rows.jsonl"), on_error="skip", max_line_bytes=30)
    dataset = JsonlDataset(options)

    assert [record.source[1] for record in dataset.records()] == [1, 7]
    assert dataset.skipped() == {
        "empty-line": 1,
        "wrong-type": 1,
        "no-field": 1,
        "not-utf-8": 1,
        "too-long": 1,
    }
    list(dataset.records())
    assert sum(dataset.skipped().values()) == 5, "each reading has an account of its own"


def test_more_skips_than_allowed_end_the_reading(tmp_path):
    """One row more than max_skip is an error that says how many and why."""
    data = b'{"text": "a"}\n\n\n{"text": "b"}\n'

    assert len(read(tmp_path, data, on_error="skip", max_skip=2)) == 2
    with pytest.raises(InputError, match="2 rows cannot be read, at most 1") as caught:
        read(tmp_path, data, on_error="skip", max_skip=1)
    assert caught.value.code == "DAT-021"


def test_a_byte_order_mark_is_noted(tmp_path):
    """What was dropped from the start of a file is told."""
    (tmp_path / "rows.jsonl").write_bytes(b'\xef\xbb\xbf{"text": "a"}')
    dataset = JsonlDataset(JsonlOptions(path=str(tmp_path / "rows.jsonl")))
    list(dataset.records())

    assert dataset.notes() == {"byte-order mark dropped": 1}


def test_a_group_may_be_a_whole_number(tmp_path):
    """A number of at most 64 bits groups as its digits; a larger one, which no double holds, is refused."""
    (record,) = read(tmp_path, b'{"text": "a", "n": 18446744073709551615}', group="n")

    assert record.group == "18446744073709551615"
    with pytest.raises(InputError, match="field 'n': expected a string or a whole number"):
        read(tmp_path, b'{"text": "a", "n": 18446744073709551616}', group="n")


def test_identity_tells_what_decides_rows(tmp_path):
    """Form, fields and skipping change the identity; limits do so only where what they refuse is skipped."""
    (tmp_path / "rows.jsonl").write_bytes(b'{"text": "a"}\n')

    def identity(**options):
        return JsonlDataset(JsonlOptions(path=str(tmp_path), **options)).identity()

    plain = identity()
    assert set(plain) == {"reader", "field", "group", "files"}
    assert identity(max_line_bytes=99) == plain == identity(fields={"text": "text"})
    different = [
        plain,
        identity(form="messages"),
        identity(form="messages", learn="last"),
        identity(field="body"),
        identity(on_error="skip"),
        identity(on_error="skip", max_line_bytes=99),
    ]
    assert all(a != b for i, a in enumerate(different) for b in different[:i])


@pytest.mark.parametrize(
    "options",
    [{"fields": {"prompt": "p"}}, {"field": "a", "fields": {"text": "b"}}],
    ids=["another form", "twice"],
)
def test_fields_that_do_not_fit_are_refused_before_anything_is_read(tmp_path, options):
    """The identity, which is asked first, tells of names that the form does not have or that are given twice."""
    (tmp_path / "rows.jsonl").write_bytes(b"not even JSON")

    with pytest.raises(UsageError) as caught:
        JsonlDataset(JsonlOptions(path=str(tmp_path), **options)).identity()
    assert caught.value.code == "DAT-022"

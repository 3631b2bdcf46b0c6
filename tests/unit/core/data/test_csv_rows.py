"""CSV, read strictly."""

from __future__ import annotations

import pytest

from codex_core.data.csv_rows import CsvDataset
from codex_core.data.options import CsvOptions
from codex_core.errors import InputError, UsageError


def dataset(folder, data: bytes, **options):
    (folder / "rows.csv").write_bytes(data)
    return CsvDataset(CsvOptions(path=str(folder / "rows.csv"), **options))


def read(folder, data: bytes, **options):
    """Line and text of the rows of one file with these bytes."""
    return [(record.source[1], record.text) for record in dataset(folder, data, **options).records()]


def test_a_row_may_go_over_several_lines(tmp_path):
    """Line ends and delimiters in quotes belong to the field; the row's number is the line on which it begins."""
    data = b'n,text\r\n1,"a, ""b""\nand c"\r\n2,d\n'

    assert read(tmp_path, data) == [(2, 'a, "b"\nand c'), (4, "d")]


def test_characters_that_are_no_line_ends_stay(tmp_path):
    """U+2028 and its like, and a byte-order mark at the start."""
    data = "\ufefftext\na\u2028b\x0cc\u0085d\n".encode()

    assert read(tmp_path, data) == [(2, "a\u2028b\x0cc\u0085d")]


def test_other_delimiters_and_forms(tmp_path):
    """Forms of texts, groups and delimiters are those of the options."""
    data = b"q;a;g\nwhy;because;1\n"
    options = {"delimiter": ";", "form": "prompt_completion", "fields": {"prompt": "q", "completion": "a"}}
    (record,) = dataset(tmp_path, data, group="g", **options).records()

    assert [turn.text for turn in record.turns] == ["why", "because"]
    assert record.group == "1"


BAD = {
    "too few fields": (b"1\n", "DAT-004", "expected 2 fields"),
    "too many fields": (b"1,2,3\n", "DAT-004", "found 3"),
    "empty line": (b"\n", "DAT-004", "an empty line"),
    "text after quotes": (b'1,"a"b\n', "DAT-004", "expected after"),
    "carriage return": (b"1,a\rb\n", "DAT-004", "new-line character"),
    "not utf-8": (b"1,\xff\n", "DAT-003", "byte 0xff"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_row_is_refused_with_its_line_or_skipped(tmp_path, name):
    """Each kind of bad row is one error with its line; skipping it loses nothing else."""
    row, code, found = BAD[name]
    data = b"n,text\n1,first\n" + row + b"2,last\n"

    with pytest.raises(InputError) as caught:
        read(tmp_path, data)
    assert caught.value.code == code
    assert caught.value.where == f"{tmp_path / 'rows.csv'}:3"
    assert found in str(caught.value)

    rows = dataset(tmp_path, data, on_error="skip")
    assert [record.text for record in rows.records()] == ["first", "last"]
    assert sum(rows.skipped().values()) == 1


def test_an_open_quote_is_refused(tmp_path):
    """Quotes that are never closed are an error of the row in which they open."""
    with pytest.raises(InputError, match="unexpected end of data") as caught:
        read(tmp_path, b'n,text\n1,"a\n2,b\n')

    assert caught.value.where.endswith(":2")


@pytest.mark.parametrize(("data", "found"), [(b"", "an empty file"), (b"text,text\n", "'text' twice")])
def test_a_bad_header_is_refused(tmp_path, data, found):
    """A file without header, or with a name twice, has no rows."""
    with pytest.raises(InputError, match=found):
        read(tmp_path, data)


def test_conversations_do_not_fit(tmp_path):
    """A form that is no row of texts is a usage error."""
    with pytest.raises(UsageError, match="messages"):
        read(tmp_path, b"messages\n1\n", form="messages")
    with pytest.raises(UsageError, match="messages"):
        dataset(tmp_path, b"messages\n1\n", form="messages").identity()

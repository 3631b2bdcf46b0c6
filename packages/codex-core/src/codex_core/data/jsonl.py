"""The dataset `jsonl`: one JSON object per line, read strictly.

Decisions: a line ends at byte 0x0A only; the last line may lack it; an empty line is a mistake. Refused with file,
line and field: bytes that are not UTF-8, broken JSON, NaN, infinities and numbers beyond a double, a key that
occurs twice, nesting beyond what both parsers take, a line beyond the limit, a missing field, a field that is not
text, a lone surrogate. orjson parses first (strict on numbers, surrogates and UTF-8), the standard library then
looks for repeated keys, which orjson does not report.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import orjson

from codex_core.data.inputs import BYTE_ORDER_MARK, InputFile, decode, find_files, unreadable
from codex_core.data.options import JsonlOptions
from codex_core.errors import InputError
from codex_core.records import Record, plain_text

_TYPES = {dict: "object", list: "array", str: "string", bool: "boolean", type(None): "null"}


class JsonlDataset:
    """Rows of JSON Lines files as records; see `JsonlOptions`."""

    def __init__(self, options: JsonlOptions) -> None:
        self.options = options

    def identity(self) -> dict[str, Any]:
        """Reader, fields and the digest of each file."""
        return {
            "reader": "jsonl/1",
            "field": self.options.field,
            "group": self.options.group,
            "files": [file.identity() for file in self._files()],
        }

    def records(self) -> Iterator[Record]:
        """The rows of all files; the row number is the physical line."""
        for file in self._files():
            for line, data in lines(file, limit=self.options.max_line_bytes):
                row = parse_row(data, file=file, line=line)
                group = None
                if self.options.group is not None:
                    group = text_field(row, self.options.group, file=file, line=line)
                yield plain_text(
                    text_field(row, self.options.field, file=file, line=line),
                    id=f"{file.name}:{line}",
                    source=(file.name, line),
                    group=group,
                )

    def _files(self) -> list[InputFile]:
        return find_files(self.options.path, glob=self.options.glob)


def lines(file: InputFile, *, limit: int) -> Iterator[tuple[int, bytes]]:
    """Physical lines with their numbers from 1, without the line end; raises `InputError` beyond `limit` bytes."""
    try:
        with file.path.open("rb") as stream:
            number = 0
            while line := stream.readline(limit + 1):
                number += 1
                if number == 1:
                    line = line.removeprefix(BYTE_ORDER_MARK)
                line = line.removesuffix(b"\n")
                if len(line) > limit:
                    raise InputError(
                        code="DAT-006",
                        what=f"the line is longer than {limit} bytes",
                        where=file.at(number),
                        fix="raise `max_line_bytes`, or check that the file has one JSON object per line",
                    )
                yield number, line
    except OSError as error:
        raise unreadable(file.path, error) from error


def parse_row(data: bytes, *, file: InputFile, line: int) -> dict[str, Any]:
    """One line as a JSON object, strictly."""
    text = decode(data, file=file, first_line=line)
    try:
        row = orjson.loads(data)
        json.loads(text, object_pairs_hook=_refuse_repeated_keys, parse_int=str, parse_float=str)
    except (ValueError, RecursionError) as error:
        found = "an empty line" if not text.strip() else getattr(error, "msg", None) or str(error)
        raise _not_a_row(found, file=file, line=line) from None
    if not isinstance(row, dict):
        raise _not_a_row(_type_name(row), file=file, line=line)
    return row


def text_field(row: dict[str, Any], field: str, *, file: InputFile, line: int) -> str:
    """The text in `field` of a row; raises `InputError` for anything else."""
    value = row.get(field)
    if isinstance(value, str):
        return value
    found = _type_name(value) if field in row else "no such field"
    raise InputError(
        code="DAT-005",
        what=f"field {field!r}: expected a string, found {found}",
        where=file.at(line),
        why=f"the row has the fields: {', '.join(row) or 'none'}",
        fix="name the field that holds the text with the option `field`, or repair the row",
    )


def _not_a_row(found: str, *, file: InputFile, line: int) -> InputError:
    return InputError(
        code="DAT-004",
        what=f"expected one JSON object, found {found}",
        where=file.at(line),
        fix="repair the line: every line of the file is one complete JSON object",
    )


def _refuse_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} twice")
    return row


def _type_name(value: object) -> str:
    return _TYPES.get(type(value), "number")

"""The dataset `jsonl`: one JSON object per line, read strictly.

Decisions: a line ends at byte 0x0A only; the last line may lack it; an empty line is a mistake. orjson parses each
line once; it refuses NaN, numbers beyond a double, lone surrogates, raw controls and bytes that are no UTF-8, but
takes the last of repeated keys. Every key is followed by a colon with a quote or white space before it, so a line
with as many of these as its value has keys repeats none; other lines are scanned (see ADR 013).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import orjson

from codex_core.data.compressed import compression_of
from codex_core.data.faults import RowFault, type_name
from codex_core.data.files import FileDataset, row_fields, row_settings
from codex_core.data.forms import group_in, turns_of
from codex_core.data.inputs import InputFile
from codex_core.data.lines import lines, stretches
from codex_core.records import Part, Record

_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\]:]', re.DOTALL)

_BEFORE_COLONS = frozenset((b'"', b" ", b"\t", b"\r"))

#: How versions of the parser say that nesting is beyond what it takes.
_TOO_DEEP = ("depth", "recursion")

_NO_NUMBERS = ("NaN", "Infinity", "-Infinity")

_REPAIR = "repair the line: every line of the file is one complete JSON object"


class JsonlDataset(FileDataset):
    """Rows of JSON Lines files as records; see `JsonlOptions`."""

    reader = "jsonl/1"

    def settings(self) -> dict[str, Any]:
        """Form, fields and group."""
        return row_settings(self.options, place="jsonl")

    def rows(self, file: InputFile, part: Part | None) -> Iterator[Record]:
        """The rows of a file; the row number is the physical line."""
        options, account, name = self.options, self.account, file.name
        turns = turns_of(options.form, fields=row_fields(options), learn=options.learn, place="jsonl")
        physical = lines(
            file,
            part,
            limit=options.max_line_bytes,
            max_expansion=options.max_expansion,
            account=account,
        )
        for line, data in physical:
            try:
                row = parse_row(data, max_nesting=options.max_nesting)
                record = Record(
                    id=f"{name}:{line}",
                    turns=turns(row),
                    source=(name, line),
                    group=None if options.group is None else group_in(row, options.group),
                )
            except RowFault as fault:
                account.refuse(fault, file, line)
                continue
            yield record

    def parts_of(self, file: InputFile, part_bytes: int) -> Iterator[Part]:
        """Stretches of whole lines; a compressed file is one part."""
        if compression_of(file.path) is not None:
            return super().parts_of(file, part_bytes)
        return stretches(file, part_bytes=part_bytes)


def parse_row(data: bytes, *, max_nesting: int) -> dict[str, Any]:
    """One line as a JSON object, strictly; raises `RowFault`."""
    try:
        row = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise _diagnosis(data, error) from None
    if type(row) is not dict:
        raise _not_a_row("not-json", type_name(row))
    if not _surely_sound(data, row, max_nesting):
        _refuse_repeated_and_deep(data, max_nesting)
    return row


def _surely_sound(data: bytes, row: dict[str, Any], max_nesting: int) -> bool:
    """Whether counting alone tells that no key occurs twice and that nesting is within the limit."""
    nested = [value for value in row.values() if type(value) is dict or type(value) is list]
    if nested and data.count(b"{") + data.count(b"[") > max_nesting:
        return False
    num_keys = len(row) + (_num_keys(nested) if nested else 0)
    if data.count(b":") == num_keys:
        return True
    ends = [piece[-1:] for piece in data.split(b":")]
    ends.pop()  # what stands before no colon
    return len([end for end in ends if end in _BEFORE_COLONS]) == num_keys


def _num_keys(values: list[Any]) -> int:
    counted = 0
    while values:
        value = values.pop()
        if type(value) is dict:
            counted += len(value)
            values += value.values()
        elif type(value) is list:
            values += value
    return counted


def _refuse_repeated_and_deep(data: bytes, max_nesting: int) -> None:
    """Scan the tokens of valid JSON; raises `RowFault` for a repeated key or nesting beyond the limit."""
    open_objects: list[set[str]] = []
    text = b""
    for found in _TOKEN.finditer(data):
        token = found[0]
        if token == b":":
            key = orjson.loads(text)
            if key in open_objects[-1]:
                raise _not_a_row("repeated-key", f"the key {key!r} twice")
            open_objects[-1].add(key)
        elif token in (b"{", b"["):
            open_objects.append(set())
            if len(open_objects) > max_nesting:
                raise _not_a_row("too-deep", f"nesting beyond {max_nesting} levels")
        elif token in (b"}", b"]"):
            open_objects.pop()
        else:
            text = token


def _diagnosis(data: bytes, error: orjson.JSONDecodeError) -> RowFault:
    """Why a line is no JSON: its bytes, its emptiness, its depth, or what the parser says."""
    try:
        text = data.decode()
    except UnicodeDecodeError as wrong:
        return not_unicode(data, wrong)
    if not text.strip():
        return _not_a_row("empty-line", "an empty line")
    if any(word in error.msg.lower() for word in _TOO_DEEP):
        return _not_a_row("too-deep", "nesting beyond 1024 levels")
    special = next((word for word in _NO_NUMBERS if text.startswith(word, error.pos)), None)
    found = f"{error.msg}, at character {error.pos}" if special is None else f"{special}, which is no number"
    return _not_a_row("not-json", found)


def not_unicode(data: bytes, error: UnicodeDecodeError) -> RowFault:
    """The fault of a line with bytes that are no UTF-8."""
    return RowFault(
        "DAT-003",
        "not-utf-8",
        expected="UTF-8",
        found=f"byte 0x{data[error.start]:02x} at {error.start}",
        why=error.reason,
        fix="convert the file to UTF-8 first",
    )


def _not_a_row(reason: str, found: str) -> RowFault:
    return RowFault("DAT-004", reason, expected="one JSON object", found=found, fix=_REPAIR)

"""Physical lines of a file or of a stretch of it.

Decisions: a line ends at byte 0x0A only; the last one may lack it; a line beyond the limit is a fault of that line,
and what follows it is read on. A stretch starts and ends at a line border, and a file that ends before its stretch
does has changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import BinaryIO

from codex_core.data.compressed import opened
from codex_core.data.faults import Account, RowFault
from codex_core.data.inputs import BYTE_ORDER_MARK, InputFile
from codex_core.errors import InputError
from codex_core.records import Part

_BLOCK_BYTES = 1 << 20

BYTE_ORDER_MARK_NOTE = "byte-order mark dropped"


def lines(
    file: InputFile,
    part: Part | None,
    *,
    limit: int,
    max_expansion: int,
    account: Account,
    on_fault: Callable[[RowFault, int], None] | None = None,
) -> Iterator[tuple[int, bytes]]:
    """Physical lines with their numbers, without the line end, of the whole file or of one part of it.

    A line that is too long goes to `on_fault` with its number, or else to the account.
    """
    with opened(file.path, max_expansion=max_expansion) as stream:
        number, left = 0, -1
        if part is not None and part.start < part.end:
            stream.seek(part.start)
            number, left = part.row - 1, part.end - part.start
        read = stream.readline
        while left and (line := read(limit + 1)):
            number += 1
            left -= len(line)
            if number == 1 and line.startswith(BYTE_ORDER_MARK):
                line = line[len(BYTE_ORDER_MARK) :]
                account.notes[BYTE_ORDER_MARK_NOTE] += 1
            if line.endswith(b"\n"):
                yield number, line[:-1]
            elif len(line) <= limit:
                yield number, line
            else:
                left -= _pass_over_line(stream)
                if on_fault is not None:
                    on_fault(_too_long(limit), number)
                else:
                    account.refuse(_too_long(limit), file, number)
        if left > 0:
            raise InputError(
                code="DAT-010",
                what="the input became shorter while it was read",
                where=str(file.path),
                fix="run the command again when nothing writes to the input",
            )


def stretches(file: InputFile, *, part_bytes: int) -> Iterator[Part]:
    """The parts of an uncompressed file: cut at the first line border at or after each multiple of `part_bytes`."""
    with file.path.open("rb") as stream:
        size = stream.seek(0, 2)
        start, row = 0, 1
        while start < size:
            stream.seek(min(size, start - start % part_bytes + part_bytes) - 1)
            end = _border(stream)
            yield Part(file=file.name, start=start, end=end, row=row)
            if end < size:
                row += _count_lines(stream, start, end)
            start = end


def _border(stream: BinaryIO) -> int:
    """The position after the next line end, or the end of the file."""
    while block := stream.readline(_BLOCK_BYTES):
        if block.endswith(b"\n"):
            break
    return stream.tell()


def _count_lines(stream: BinaryIO, start: int, end: int) -> int:
    stream.seek(start)
    counted, left = 0, end - start
    while left and (block := stream.read(min(left, _BLOCK_BYTES))):
        counted += block.count(b"\n")
        left -= len(block)
    return counted


def _pass_over_line(stream: BinaryIO) -> int:
    """Read to the end of the line; returns the number of bytes."""
    passed = 0
    while block := stream.readline(_BLOCK_BYTES):
        passed += len(block)
        if block.endswith(b"\n"):
            break
    return passed


def _too_long(limit: int) -> RowFault:
    return RowFault(
        "DAT-006",
        "too-long",
        expected=f"a line of at most {limit} bytes",
        found=f"one longer than {limit} bytes",
        fix="raise `max_line_bytes`, or check that the file has one row per line",
    )

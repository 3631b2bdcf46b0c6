"""How results are printed: one JSON object, or aligned text."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any, TextIO


def print_json(schema: str, fields: Mapping[str, Any], *, stream: TextIO | None = None) -> None:
    """Print the envelope `{"schema": ..., ...}`, on stdout if nothing else is said: ASCII-safe, sorted, one line."""
    print(
        json.dumps({"schema": schema, **fields}, sort_keys=True, default=str), file=stream, flush=bool(stream)
    )


def say(text: str) -> None:
    """Tell the person at the terminal something that is not the result: on stderr."""
    print(text, file=sys.stderr, flush=True)


def table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns aligned with spaces; numbers to the right, everything else to the left."""
    shown = [[_cell(value) for value in row] for row in rows]
    widths = [max(len(line[i]) for line in [list(headings), *shown]) for i in range(len(headings))]
    numeric = [
        bool(rows) and all(isinstance(row[i], (int, float)) for row in rows) for i in range(len(headings))
    ]
    lines = []
    for line in [list(headings), ["-" * width for width in widths], *shown]:
        cells = [
            text.rjust(width) if number else text.ljust(width)
            for text, width, number in zip(line, widths, numeric, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return (
            f"{value:.4g}"
            if abs(value) < 1e-3 or abs(value) >= 1e6
            else f"{value:.4f}".rstrip("0").rstrip(".")
        )
    return "-" if value is None else str(value)


def human_bytes(size: float) -> str:
    """Bytes in the unit that reads best, decimal.

    >>> human_bytes(2_100_000)
    '2.1 MB'
    """
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"

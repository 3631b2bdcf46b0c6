"""How the commands of this package print: one JSON object, or aligned text."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import click


def print_json(schema: str, fields: Mapping[str, Any]) -> None:
    """Print the envelope `{"schema": ..., ...}` on stdout: ASCII-safe, sorted, one line."""
    click.echo(json.dumps({"schema": schema, **fields}, sort_keys=True))


def say(text: str) -> None:
    """Tell the person at the terminal something that is not the result: on stderr."""
    click.echo(text, err=True)


def columns(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Text in columns, aligned with blanks."""
    lines = [list(headings), *map(list, rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(headings))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def size_text(size_bytes: int) -> str:
    """A size in decimal kilobytes, and from one megabyte on in megabytes.

    >>> size_text(11_052), size_text(494_576_000)
    ('11.1 kB', '494.6 MB')
    """
    return f"{size_bytes / 1e3:,.1f} kB" if size_bytes < 1e6 else f"{size_bytes / 1e6:,.1f} MB"

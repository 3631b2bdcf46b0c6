"""How the commands of this package answer: data on stdout, everything else on stderr."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import click


def print_json(schema: str, fields: Mapping[str, Any]) -> None:
    """The envelope `{"schema": ..., ...}` on stdout: sorted, one line."""
    click.echo(json.dumps({"schema": schema, **fields}, sort_keys=True))


def say(text: str) -> None:
    """Tell the person at the terminal something that is not the result."""
    click.echo(text, err=True)


def columns(rows: Sequence[Sequence[object]]) -> str:
    """Rows of cells, aligned at the left."""
    shown = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in shown
    )

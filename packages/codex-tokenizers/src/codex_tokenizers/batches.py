"""Rows of ids of one width, with a mask that tells tokens from padding."""

from __future__ import annotations

from collections.abc import Sequence

from codex_core.errors import UsageError
from codex_core.records import TokenBatch


def pad(
    rows: Sequence[Sequence[int]], *, pad_id: int, max_length: int | None = None, pad_to: int | None = None
) -> TokenBatch:
    """Rows cut to `max_length` and padded at the right to `pad_to` or the longest; padding never cuts."""
    cut = [row[:max_length] for row in rows]
    longest = max(map(len, cut), default=0)
    width = longest if pad_to is None else pad_to
    if longest > width:
        raise UsageError(
            code="TOK-004",
            what=f"a text of {longest} tokens does not fit into {width}",
            why="pad_to pads, it never cuts",
            fix=f"max_length={width} cuts longer texts",
        )
    return TokenBatch(
        ids=tuple((*row, *(pad_id,) * (width - len(row))) for row in cut),
        attention_mask=tuple((1,) * len(row) + (0,) * (width - len(row)) for row in cut),
    )

"""Rows that hold whole documents: as many as fit, or one each.

Decisions: only a document longer than a row is cut, into full rows and a rest. `fit` places documents best-fit
decreasing within the windows it is given: the longest first, equal ones in their order, each into the row where it
leaves the least room; a window's rows are closed at its end, so nothing but the window decides. `none` gives each
document rows of its own.

Shapes: D documents of a window, I items (whole documents, or what cutting left), R rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from codex_core.data.gathering import RowPlan


def fit(windows: Iterable[NDArray[np.int64]], *, seq_len: int) -> Iterator[RowPlan]:
    """Whole documents, as many to a row as fit."""
    return _planned(windows, seq_len, _best_fit)


def none(windows: Iterable[NDArray[np.int64]], *, seq_len: int) -> Iterator[RowPlan]:
    """One document to a row."""
    return _planned(windows, seq_len, lambda lengths, seq_len: np.arange(len(lengths)))


def _planned(
    windows: Iterable[NDArray[np.int64]],
    seq_len: int,
    place: Callable[[NDArray[np.int64], int], NDArray[np.int64]],
) -> Iterator[RowPlan]:
    """Blocks of rows, a window each; `place` gives the row of every item that is shorter than a row, from 0."""
    first_document = 0
    for num_pairs in windows:
        document, start, length = _items(num_pairs, seq_len)
        is_full = length == seq_len
        row = np.empty(len(length), dtype=np.int64)
        row[is_full] = np.arange(is_full.sum())
        row[~is_full] = is_full.sum() + place(length[~is_full], seq_len)
        # Pieces of a row lie in the order of their documents, rows in that of their first pieces.
        first_item = np.full(row.max(initial=-1) + 1, len(row), dtype=np.int64)
        np.minimum.at(first_item, row, np.arange(len(row)))
        row = np.argsort(np.argsort(first_item))[row]
        order = np.argsort(row, kind="stable")
        if len(order):
            yield RowPlan(
                seq_len=seq_len,
                first_piece=np.concatenate(([0], np.cumsum(np.bincount(row)))),
                document=document[order] + first_document,
                start=start[order],
                length=length[order],
            )
        first_document += len(num_pairs)


def _items(
    num_pairs: NDArray[np.int64], seq_len: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Document, first pair and number of pairs of every item, in the order of documents."""
    num_items = -(-num_pairs // seq_len)
    document = np.repeat(np.arange(len(num_pairs)), num_items)
    number = np.arange(len(document)) - np.repeat(np.cumsum(num_items) - num_items, num_items)
    start = number * seq_len
    return document, start, np.minimum(num_pairs[document] - start, seq_len)


def _best_fit(lengths: NDArray[np.int64], seq_len: int) -> NDArray[np.int64]:
    """The row of each item, best-fit decreasing.

    Rows wait by the room they have left; bit r of `open_rooms` tells whether any row has room for r more, so the
    tightest row is found without a search.
    """
    rows = np.empty(len(lengths), dtype=np.int64)
    waiting: list[list[int]] = [[] for _ in range(seq_len + 1)]
    open_rooms = num_rows = 0
    order = np.argsort(-lengths, kind="stable")
    for item, length in zip(order.tolist(), lengths[order].tolist(), strict=True):
        wide_enough = open_rooms >> length
        if wide_enough:
            room = length + (wide_enough & -wide_enough).bit_length() - 1
            row = waiting[room].pop()
            if not waiting[room]:
                open_rooms ^= 1 << room
        else:
            room, row = seq_len, num_rows
            num_rows += 1
        rows[item] = row
        if left := room - length:
            waiting[left].append(row)
            open_rooms |= 1 << left
    return rows

"""How often each n-gram was seen: the whole state of training.

Decisions: an event is one supervised token with the tokens before it in its own document piece, nearest first, so
that a table sorted by its columns is a trie of contexts; where the piece had not begun yet, the column holds the
border, `vocab_size`. Padding and tokens that are not supervised are never counted, yet the latter do serve as
context. A settled table is sorted and without repeats: equal rows consumed give equal bytes, however they came in.

Shapes: E events, M distinct n-grams, N order of the model, R rows, L row length in tokens.
"""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from codex_core.contracts import RowBatch

Ints = NDArray[np.int64]

# Events wait in a list until this many have come in; 1 << 20 events of order 5 are 20 MB.
_PENDING_EVENTS = 1 << 20


@attrs.define(kw_only=True, eq=False)
class Counts:
    """A table of distinct n-grams (`keys`, M x N, context columns first and the word last) with their counts (M).

    Rows that were added wait in `pending` until `settle` merges them.
    """

    order: int
    vocab_size: int
    keys: NDArray[np.int32]
    counts: Ints
    pending: list[NDArray[np.int32]] = attrs.field(factory=list)
    num_pending: int = 0

    @classmethod
    def empty(cls, *, order: int, vocab_size: int) -> Counts:
        """A table in which nothing was seen."""
        return cls(
            order=order,
            vocab_size=vocab_size,
            keys=np.empty((0, order), dtype=np.int32),
            counts=np.empty(0, dtype=np.int64),
        )

    @property
    def num_events(self) -> int:
        """Tokens that were counted."""
        return int(self.counts.sum()) + self.num_pending

    def add(self, events: NDArray[np.int32]) -> None:
        """Count events (E x N)."""
        self.pending.append(events)
        self.num_pending += len(events)
        if self.num_pending >= max(_PENDING_EVENTS, len(self.keys)):
            self.settle()

    def settle(self) -> None:
        """Merge what is pending, so that `keys` and `counts` say everything."""
        if self.pending:
            added = np.concatenate(self.pending)
            self._merge(added, np.ones(len(added), dtype=np.int64))
            self.pending, self.num_pending = [], 0

    def without(self, *events: NDArray[np.int32]) -> Counts:
        """The table as it was before these blocks of events (each E x N) were counted."""
        self.settle()
        earlier = attrs.evolve(self)
        taken = np.concatenate([self.keys[:0], *events])
        earlier._merge(taken, np.full(len(taken), -1, dtype=np.int64))
        if np.any(earlier.counts < 0):
            raise ValueError("cannot take away events that were never counted")
        seen = earlier.counts > 0
        return attrs.evolve(earlier, keys=earlier.keys[seen], counts=earlier.counts[seen])

    def _merge(self, keys: NDArray[np.int32], weights: Ints) -> None:
        every = np.concatenate([self.keys, keys])
        codes = sortable_codes(every, self.vocab_size + 1)
        self.keys, self.counts = _grouped(every, codes, np.concatenate([self.counts, weights]))


def cut_events(batch: RowBatch, *, order: int, vocab_size: int) -> NDArray[np.int32]:
    """The events of packed rows: one line of `order` ids for each supervised target, in row order."""
    wanted = batch.loss_mask & (batch.document_ids >= 0)
    row, place = np.nonzero(wanted)
    piece = batch.document_ids[row, place]
    events = np.full((len(row), order), vocab_size, dtype=np.int32)
    for back in range(order - 1):
        source = place - back
        inside = (source >= 0) & (batch.document_ids[row, np.maximum(source, 0)] == piece)
        events[inside, back] = batch.inputs[row[inside], source[inside]]
    events[:, -1] = batch.targets[row, place]
    return events


def sortable_codes(columns: NDArray[np.int32], base: int) -> Ints:
    """One integer per line of `columns` (E x N, values below `base`), in the lexicographic order of the lines.

    Where the next column would not fit into 63 bits, the codes so far are replaced by their ranks.
    """
    codes = columns[:, 0].astype(np.int64)
    span = base
    for column in columns.T[1:]:
        if span > (1 << 62) // base:
            ranks: Any
            distinct, ranks = np.unique(codes, return_inverse=True)
            codes, span = ranks.astype(np.int64), len(distinct)
        codes = codes * base + column
        span *= base
    return codes


def sum_by_code(codes: Ints, weights: Ints) -> tuple[Ints, Ints]:
    """The distinct codes, sorted, and the sum of weights of each."""
    keys, sums = _grouped(codes, codes, weights)
    return keys, sums


def _grouped(values: NDArray[Any], codes: Ints, weights: Ints) -> tuple[NDArray[Any], Ints]:
    if not len(codes):
        return values, weights
    by_code = np.argsort(codes, kind="stable")
    first = np.flatnonzero(is_new(codes[by_code]))
    return values[by_code[first]], np.add.reduceat(weights[by_code], first)


def is_new(ordered: Ints) -> NDArray[np.bool_]:
    """For sorted codes, which differ from the one before."""
    new = np.ones(len(ordered), dtype=np.bool_)
    new[1:] = ordered[1:] != ordered[:-1]
    return new

"""Rows of a fixed length, planned once into index arrays and gathered on demand.

Decisions: a document of n ids gives n - 1 pairs (input, target). `concat` lays the pairs of all documents end to
end and cuts every `seq_len`: every pair is in exactly one row, and only the last row is padded. A row is a list of
pieces (document, first pair, number of pairs); positions restart in each piece, and a token sees its piece only.
Gathering knows nothing of how the pieces were planned.

Shapes: D documents, P pieces, R rows, L sequence length, N gathered pairs.
"""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from codex_core.contracts import RowBatch
from codex_core.data.order import rows_at
from codex_core.errors import UsageError

PACKINGS = ("concat",)

Integers = NDArray[np.integer]


@attrs.frozen(kw_only=True, eq=False)
class RowPlan:
    """Which pairs make up which row: `first_piece` (R + 1) and the columns of the pieces (P)."""

    seq_len: int
    first_piece: Integers
    document: Integers
    start: Integers
    length: Integers

    @property
    def num_rows(self) -> int:
        """How many rows there are."""
        return len(self.first_piece) - 1


@attrs.frozen(kw_only=True, eq=False)
class TokenColumns:
    """The ids of documents back to back, whether each is supervised as a target, and `offsets` (D + 1)."""

    ids: Integers
    loss_mask: NDArray[np.uint8]
    offsets: Integers


def plan_rows(offsets: Integers, *, seq_len: int, packing: str) -> RowPlan:
    """Plan the rows of documents that lie at `offsets` (D + 1); each document has at least two ids."""
    if packing not in PACKINGS:
        raise UsageError(
            code="DAT-009",
            what=f"packing {packing!r} does not exist",
            where="data.packing",
            why=f"known: {', '.join(PACKINGS)}",
            fix="data.packing=concat",
        )
    first_pair = np.asarray(offsets, dtype=np.int64) - np.arange(len(offsets))  # (D + 1)
    num_pairs = int(first_pair[-1])
    row_starts = np.arange(0, num_pairs, seq_len, dtype=np.int64)
    cuts = np.union1d(row_starts, first_pair)  # (P + 1): pieces end where a row or a document ends
    starts, lengths = cuts[:-1], np.diff(cuts)
    document = np.searchsorted(first_pair, starts, side="right") - 1
    return RowPlan(
        seq_len=seq_len,
        first_piece=np.append(np.searchsorted(starts, row_starts), len(starts)),
        document=document,
        start=starts - first_pair[document],
        length=lengths,
    )


def gather(rows: NDArray[np.int64], plan: RowPlan, tokens: TokenColumns) -> RowBatch:
    """The batch of these rows, all arrays (R, L)."""
    first = np.asarray(plan.first_piece[rows], dtype=np.int64)
    num_pieces = np.asarray(plan.first_piece[rows + 1], dtype=np.int64) - first
    piece = np.repeat(first, num_pieces) + _count_within(num_pieces)
    length = np.asarray(plan.length[piece], dtype=np.int64)
    document = np.asarray(plan.document[piece], dtype=np.int64)
    token_start = np.asarray(tokens.offsets[document], dtype=np.int64) + np.asarray(
        plan.start[piece], np.int64
    )

    # Per gathered pair (N): its token, its position in the piece, the piece's number in the row, its place.
    position = _count_within(length)
    token = np.repeat(token_start, length) + position
    pairs_per_row = _sums(length, num_pieces)
    row = np.repeat(np.arange(len(rows)), pairs_per_row)
    place = row * plan.seq_len + _count_within(pairs_per_row)

    def spread(values: NDArray[Any], fill: int, dtype: type) -> NDArray[Any]:
        batch: NDArray[Any] = np.full(len(rows) * plan.seq_len, fill, dtype=dtype)
        batch[place] = values
        return batch.reshape(len(rows), plan.seq_len)

    return RowBatch(
        inputs=spread(tokens.ids[token], 0, np.int64),
        targets=spread(tokens.ids[token + 1], 0, np.int64),
        loss_mask=spread(tokens.loss_mask[token + 1], 0, np.bool_),
        positions=spread(position, 0, np.int64),
        document_ids=spread(np.repeat(_count_within(num_pieces), length), -1, np.int64),
    )


def count_supervised(plan: RowPlan, tokens: TokenColumns, *, block: int = 4096) -> NDArray[np.uint32]:
    """Supervised targets per row (R), a block of rows at a time."""
    counts = np.zeros(plan.num_rows, dtype=np.uint32)
    for start in range(0, plan.num_rows, block):
        rows = np.arange(start, min(start + block, plan.num_rows))
        counts[rows] = gather(rows, plan, tokens).loss_mask.sum(axis=1)
    return counts


@attrs.frozen(kw_only=True, eq=False)
class ShuffledRows:
    """The packed rows of a split in the order of a seed (`contracts.PackedRows`)."""

    plan: RowPlan
    tokens: TokenColumns
    supervised: Integers
    seed: int

    @property
    def num_rows(self) -> int:
        """Rows of one epoch."""
        return self.plan.num_rows

    @property
    def seq_len(self) -> int:
        """Pairs of one row."""
        return self.plan.seq_len

    def rows(self, start: int, count: int) -> RowBatch:
        """The rows at global positions [start, start + count)."""
        return gather(self._rows_at(start, count), self.plan, self.tokens)

    def num_supervised(self, start: int, count: int) -> int:
        """Supervised tokens in these rows."""
        return int(self.supervised[self._rows_at(start, count)].sum())

    def _rows_at(self, start: int, count: int) -> NDArray[np.int64]:
        return rows_at(start, count, num_rows=self.num_rows, seed=self.seed)


def _count_within(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """0, 1, ... within each of several runs: `[2, 3]` gives `[0, 1, 0, 1, 2]`."""
    ends = np.cumsum(lengths)
    return np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - lengths, lengths)


def _sums(values: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sums of runs of `values` that have these lengths."""
    ends = np.concatenate(([0], np.cumsum(values)))
    borders = np.concatenate(([0], np.cumsum(lengths)))
    return np.diff(ends[borders])

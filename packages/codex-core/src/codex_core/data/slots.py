"""Who reads which rows of a step: slots of ranks and workers, a pure function of position and batch size.

Decisions: of the rows of a step, positions [start, start + batch_rows), rank r of R takes those at r, r + R, ... from
`start` on, so ranks, accumulation and workers cut every step differently and read the same rows. Every rank has the
same number of slots; where the batch does not divide, the last slots of some are empty and weigh nothing, no row is
read twice. Workers of a rank take its slots in turn and are put back in the order of slots. The cursor stays one
integer: a stop may be followed by other ranks, workers and batch sizes.

Shapes: S slots of a rank, L sequence length.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from codex_core.contracts import PackedRows, RowBatch

#: The position of a slot without a row.
EMPTY = -1

Positions = NDArray[np.int64]


def slots(start: int, batch_rows: int, *, rank: int = 0, world: int = 1) -> Positions:
    """The global positions (S) that a rank of `world` reads of the step that begins at `start`.

    >>> [slots(10, 5, rank=rank, world=3).tolist() for rank in range(3)]
    [[10, 13], [11, 14], [12, -1]]
    """
    if not 0 <= rank < world or batch_rows < 1 or start < 0:
        raise ValueError(f"rank {rank} of {world} cannot share {batch_rows} rows from {start} on")
    places = np.arange(-(-batch_rows // world), dtype=np.int64) * world + rank
    return np.where(places < batch_rows, places + start, EMPTY)


def dealt(positions: Positions, workers: int) -> list[Positions]:
    """The slots of a rank, one share per worker; without workers the rank reads them all itself.

    >>> [share.tolist() for share in dealt(np.array([10, 13, 16]), 2)]
    [[10, 16], [13]]
    """
    return [positions[worker :: max(workers, 1)] for worker in range(max(workers, 1))]


def read_slots(rows: PackedRows, positions: Positions) -> RowBatch:
    """The rows at these positions (S, L); an empty slot is padding throughout."""
    parts = [_empty(rows.seq_len) if at == EMPTY else rows.rows(at, 1) for at in positions.tolist()]
    return _joined(parts, rows.seq_len)


def collected(shares: Sequence[RowBatch]) -> RowBatch:
    """What the workers of a rank have read, put back in the order of its slots: the inverse of `dealt`."""
    num_slots = sum(len(share.inputs) for share in shares)
    parts = [_row(shares[slot % len(shares)], slot // len(shares)) for slot in range(num_slots)]
    return _joined(parts, shares[0].inputs.shape[1])


def _row(batch: RowBatch, row: int) -> RowBatch:
    """One row of a batch, as a batch."""
    return RowBatch(**{name: getattr(batch, name)[row : row + 1] for name in _FIELDS})


def _joined(parts: Sequence[RowBatch], seq_len: int) -> RowBatch:
    held = parts or [_row(_empty(seq_len), 1)]
    return RowBatch(**{name: np.concatenate([getattr(part, name) for part in held]) for name in _FIELDS})


def _empty(seq_len: int) -> RowBatch:
    """A row of padding, of which nothing is learned."""
    zeros = np.zeros((1, seq_len), dtype=np.int64)
    return RowBatch(
        inputs=zeros,
        targets=zeros,
        loss_mask=np.zeros((1, seq_len), dtype=np.bool_),
        positions=zeros,
        document_ids=np.full((1, seq_len), -1, dtype=np.int64),
    )


_FIELDS = ("inputs", "targets", "loss_mask", "positions", "document_ids")

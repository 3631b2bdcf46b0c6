"""Documents left out of a training from some row on: they stay where they are, and nothing of them is learned.

Decisions: leaving a document out takes the supervision from its tokens and changes nothing else, neither rows nor
order nor what other tokens see; it holds from a global position on, so that rows which were trained on before are
what they were, and a run that went back and left something out can be executed again from its first step.

Shapes: R rows, L sequence length.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from codex_core.contracts import RowBatch
from codex_core.data.packing import ShuffledRows


class RowsWithout:
    """The rows of a split (`contracts.PackedRows`), without what is learned of some documents."""

    def __init__(self, rows: ShuffledRows, since: Mapping[int, int]) -> None:
        """`since` is the first global position without a document, by the document's number in the split."""
        self._rows = rows
        self._documents = np.array(sorted(since), dtype=np.int64)
        self._since = np.array([since[number] for number in sorted(since)], dtype=np.int64)

    @property
    def num_rows(self) -> int:
        """Rows of one epoch."""
        return self._rows.num_rows

    @property
    def seq_len(self) -> int:
        """Pairs of one row."""
        return self._rows.seq_len

    def rows(self, start: int, count: int) -> RowBatch:
        """The rows at global positions [start, start + count)."""
        batch = self._rows.rows(start, count)
        if start + count <= self._since.min(initial=start + count):
            return batch
        document = documents_of(self._rows, batch, start)
        found = np.minimum(np.searchsorted(self._documents, document), len(self._documents) - 1)
        position = np.arange(start, start + count)[:, None]
        is_left_out = (self._documents[found] == document) & (position >= self._since[found])
        return attrs.evolve(batch, loss_mask=batch.loss_mask & ~is_left_out)

    def num_supervised(self, start: int, count: int) -> int:
        """Supervised tokens in these rows."""
        return int(self.rows(start, count).loss_mask.sum())

    def documents(self, start: int, count: int) -> list[str]:
        """The ids of the documents in these rows, those that are left out too."""
        return self._rows.documents(start, count)

    def left_out(self, start: int, count: int) -> int:
        """Tokens of these rows that would be supervised, and are left out."""
        return self._rows.num_supervised(start, count) - self.num_supervised(start, count)


def documents_of(rows: ShuffledRows, batch: RowBatch, start: int) -> NDArray[np.int64]:
    """The number of each token's document in the split (R, L), -1 for padding, of the rows from `start` on."""
    first = np.asarray(rows.plan.first_piece[rows.numbers(start, len(batch.inputs))], dtype=np.int64)
    piece = first[:, None] + np.maximum(batch.document_ids, 0)
    return np.where(batch.document_ids >= 0, np.asarray(rows.plan.document[piece], dtype=np.int64), -1)


def learned_documents(rows: ShuffledRows, positions: Sequence[int]) -> list[int]:
    """The numbers of the documents of which something is learned in the rows at these global positions."""
    found: set[int] = set()
    for position in positions:
        batch = rows.rows(position, 1)
        found.update(documents_of(rows, batch, position)[batch.loss_mask].tolist())
    return sorted(found)


def numbers_of(wanted: Iterable[str], ids: Iterable[str]) -> dict[str, int]:
    """The numbers of documents among all `ids` of a split; ids that are not there are not in the answer."""
    wanted = frozenset(wanted)
    return {id: number for number, id in enumerate(ids) if id in wanted}

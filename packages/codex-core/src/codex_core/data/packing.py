"""Rows of a fixed length, planned once into index arrays and gathered on demand.

Decisions: a document of n ids gives n - 1 pairs (input, target). `concat` lays the pairs of all documents end to
end and cuts every `seq_len`: every pair is in exactly one row, and only the last row is padded; `fit` and `none`
(`fitting`) keep documents whole and pad. A row is a list of
pieces (document, first pair, number of pairs); positions restart in each piece, and a token sees its piece only.
Gathering knows nothing of how the pieces were planned. A packing takes windows of documents and gives blocks of
whole rows, so that memory does not grow with the corpus.

Shapes: D documents, P pieces, R rows, L sequence length.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

import attrs
import numpy as np
from numpy.typing import NDArray

from codex_core.contracts import RowBatch
from codex_core.data.fitting import fit, none
from codex_core.data.gathering import (
    Gatherer,
    Integers,
    RowPlan,
    TokenColumns,
    Windows,
    count_supervised,
    shards_of,
)
from codex_core.data.mixture import Mixture
from codex_core.data.order import permute
from codex_core.errors import UsageError

__all__ = [
    "PACKINGS",
    "Packing",
    "RowPlan",
    "ShuffledRows",
    "TokenColumns",
    "count_supervised",
    "gather",
    "packing_of",
    "plan_rows",
    "windows_of",
]

#: Documents that a packing sees at once.
WINDOW_DOCUMENTS = 8192

#: Places of an epoch that are permuted at once and kept.
_BLOCK_PLACES = 4096


class Packing(Protocol):
    """Plans rows."""

    def __call__(self, windows: Iterable[NDArray[np.int64]], *, seq_len: int) -> Iterator[RowPlan]:
        """Blocks of whole rows of the documents whose numbers of pairs come in windows.

        Documents are numbered from 0 over all windows; `first_piece` of each block starts at 0.
        """


def concat(windows: Iterable[NDArray[np.int64]], *, seq_len: int) -> Iterator[RowPlan]:
    """All pairs end to end, cut every `seq_len`."""
    # The pieces of the row that is not full yet: document, start, length.
    held = np.empty((3, 0), dtype=np.int64)
    first_document = 0
    for num_pairs in windows:
        filled = int(held[2].sum())
        first_pair = filled + np.concatenate(
            ([0], np.cumsum(num_pairs))
        )  # (D + 1), from the open row's start
        row_starts = np.arange(seq_len, first_pair[-1], seq_len, dtype=np.int64)
        cuts = np.union1d(row_starts, first_pair)  # pieces end where a row or a document ends
        starts = cuts[:-1]
        document = np.searchsorted(first_pair, starts, side="right") - 1
        pieces = np.stack([document + first_document, starts - first_pair[document], np.diff(cuts)])
        pieces = np.concatenate((held, pieces), axis=1)
        num_rows = int(first_pair[-1]) // seq_len
        begins = np.cumsum(pieces[2]) - pieces[2]
        first_piece = np.searchsorted(begins, seq_len * np.arange(num_rows + 1))
        first_document += len(num_pairs)
        if num_rows:
            yield _block(pieces[:, : first_piece[-1]], first_piece, seq_len=seq_len)
        held = pieces[:, first_piece[-1] :]
    if held.shape[1]:
        yield _block(held, np.array([0, held.shape[1]]), seq_len=seq_len)


def _block(pieces: NDArray[np.int64], first_piece: Integers, *, seq_len: int) -> RowPlan:
    document, start, length = pieces
    return RowPlan(seq_len=seq_len, first_piece=first_piece, document=document, start=start, length=length)


PACKINGS: Mapping[str, Packing] = MappingProxyType({"concat": concat, "fit": fit, "none": none})


def packing_of(name: str) -> Packing:
    """The packing of this name; raises `UsageError` when there is none."""
    if name not in PACKINGS:
        raise UsageError(
            code="DAT-009",
            what=f"packing {name!r} does not exist",
            where="data.packing",
            why=f"known: {', '.join(PACKINGS)}",
            fix="data.packing=concat",
        )
    return PACKINGS[name]


def windows_of(
    shards: Sequence[TokenColumns], first: int = 0, last: int | None = None
) -> Iterator[NDArray[np.int64]]:
    """The numbers of pairs of documents `first` to `last` (exclusive; all), `WINDOW_DOCUMENTS` at a time."""
    held = np.empty(0, dtype=np.int64)
    before = 0
    for shard in shards:
        begin = max(first - before, 0)
        end = shard.num_documents if last is None else min(last - before, shard.num_documents)
        for start in range(begin, end, WINDOW_DOCUMENTS):
            stop = min(start + WINDOW_DOCUMENTS, end)
            offsets = np.asarray(shard.offsets[start : stop + 1]).astype(np.int64)
            held = np.concatenate((held, np.diff(offsets) - 1))
            while len(held) >= WINDOW_DOCUMENTS:
                yield held[:WINDOW_DOCUMENTS]
                held = held[WINDOW_DOCUMENTS:]
        before += shard.num_documents
    if len(held):
        yield held


def plan_rows(offsets: Integers, *, seq_len: int, packing: str) -> RowPlan:
    """Plan all rows of documents that lie at `offsets` (D + 1); each document has at least two ids."""
    signed: NDArray[np.int64] = np.asarray(offsets, dtype=np.int64)
    num_pairs = signed[1:] - signed[:-1] - 1
    windows = (
        num_pairs[first : first + WINDOW_DOCUMENTS] for first in range(0, len(num_pairs), WINDOW_DOCUMENTS)
    )
    blocks = list(packing_of(packing)(windows, seq_len=seq_len))
    before = np.cumsum([0, *(len(block.document) for block in blocks)])
    none = np.empty(0, dtype=np.int64)
    return RowPlan(
        seq_len=seq_len,
        first_piece=np.concatenate(
            [
                *(block.first_piece[:-1] + base for block, base in zip(blocks, before, strict=False)),
                before[-1:],
            ]
        ),
        document=np.concatenate([none, *(block.document for block in blocks)]),
        start=np.concatenate([none, *(block.start for block in blocks)]),
        length=np.concatenate([none, *(block.length for block in blocks)]),
    )


def gather(rows: NDArray[np.int64], plan: RowPlan, tokens: TokenColumns) -> RowBatch:
    """The batch of these rows of one shard, all arrays (R, L)."""
    return Gatherer(plan, (tokens,)).gather(rows)


class ShuffledRows:
    """The packed rows of a split in the order of a seed (`contracts.PackedRows`)."""

    def __init__(
        self,
        *,
        plan: RowPlan,
        tokens: TokenColumns | Sequence[TokenColumns],
        supervised: Integers,
        seed: int,
        ids: Callable[[], Iterable[str]] | None = None,
        mixture: Mixture | None = None,
    ) -> None:
        """`ids` gives the ids of the split's documents, in stored order; it is asked when something went wrong.

        With a `mixture` rows come in its order instead of in one permutation of all.
        """
        self.plan = plan
        self.mixture = mixture
        self.supervised = supervised
        self.seed = seed
        self._ids = ids
        self._gatherer = Gatherer(plan, shards_of(tokens))
        self._block = _Block()

    @property
    def num_rows(self) -> int:
        """Rows of one epoch."""
        return self.plan.num_rows if self.mixture is None else self.mixture.num_rows

    @property
    def seq_len(self) -> int:
        """Pairs of one row."""
        return self.plan.seq_len

    def rows(self, start: int, count: int) -> RowBatch:
        """The rows at global positions [start, start + count)."""
        numbers = self._rows_at(start, count)
        block, place = self._block, start % self.num_rows
        if self.mixture is None and block.holds(start // self.num_rows, place, place + count):
            if not block.is_prepared:
                block = self._block = block.prepared(self._gatherer)
            if block.windows is not None:
                return block.windows.batch(place - block.first, place - block.first + count)
            return self._gatherer.by_index(numbers)
        return self._gatherer.gather(numbers)

    def num_supervised(self, start: int, count: int) -> int:
        """Supervised tokens in these rows."""
        return int(self.supervised[self._rows_at(start, count)].sum())

    def documents(self, start: int, count: int) -> list[str]:
        """The ids of the documents in these rows, in stored order; none where ids are not at hand."""
        if self._ids is None:
            return []
        pieces = [
            self.plan.document[self.plan.first_piece[row] : self.plan.first_piece[row + 1]]
            for row in self._rows_at(start, count).tolist()
        ]
        wanted = set(np.concatenate(pieces).tolist()) if pieces else set()
        return [id for number, id in enumerate(self._ids()) if number in wanted]

    def numbers(self, start: int, count: int) -> NDArray[np.int64]:
        """Which rows of the plan are at global positions [start, start + count)."""
        return self._rows_at(start, count)

    def _rows_at(self, start: int, count: int) -> NDArray[np.int64]:
        """The rows at these positions, out of the block that was permuted last wherever it holds them."""
        if self.mixture is not None:
            return self.mixture.rows_at(start, count, seed=self.seed)
        parts = []
        end = start + count
        while start < end:
            epoch, place = divmod(start, self.num_rows)
            block = self._block
            if not block.holds(epoch, place, place + 1):
                first = place - place % _BLOCK_PLACES
                places = np.arange(first, min(first + _BLOCK_PLACES, self.num_rows), dtype=np.uint64)
                rows = permute(places, num_rows=self.num_rows, seed=self.seed, epoch=epoch)
                block = self._block = _Block(epoch=epoch, first=first, rows=rows)
            here = block.rows[place - block.first : place - block.first + end - start]
            parts.append(here)
            start += len(here)
        if len(parts) == 1:
            return parts[0]
        return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)


@attrs.frozen(kw_only=True, eq=False)
class _Block:
    """The rows at consecutive places of an epoch, and once batches are taken how to copy them."""

    epoch: int = -1
    first: int = 0
    rows: NDArray[np.int64] = attrs.field(factory=lambda: np.empty(0, dtype=np.int64))
    is_prepared: bool = False
    windows: Windows | None = None

    def holds(self, epoch: int, place: int, end: int) -> bool:
        """Whether these places of an epoch are all in the block."""
        return self.epoch == epoch and self.first <= place and end <= self.first + len(self.rows)

    def prepared(self, gatherer: Gatherer) -> _Block:
        """The block with how to copy its rows."""
        return attrs.evolve(self, is_prepared=True, windows=gatherer.windows(self.rows))

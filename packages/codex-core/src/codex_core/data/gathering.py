"""Batches of planned rows out of mapped token shards.

Decisions: most rows of long documents are one stretch of tokens, so a batch is one copy of windows of the mapped ids,
and only the rows that hold a border are mended, piece by piece; where rows have many pieces, all tokens are gathered
by index instead. Both ways give the same arrays. Nothing is read ahead and nothing is kept but views.

Shapes: R rows, L sequence length, P pieces, N gathered pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from codex_core.contracts import RowBatch
from codex_core.data.columns import forget

Integers = NDArray[np.integer]
Signed = NDArray[np.int64]

#: A stretch of a row that its window does not have: row, place, length, number of the piece (-1: padding), token.
Mend = tuple[int, int, int, int, int]

#: Beyond so many pieces per row, gathering by index is quicker than mending row by row.
_MOST_PIECES_PER_ROW = 3

#: Mask that is summed at once.
_MOST_MASK_BYTES = 8 << 20

#: Where at most one in so many tokens is not learned, these are looked up instead of summing all.
_FEW = 64


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

    @property
    def num_documents(self) -> int:
        """How many documents there are."""
        return len(self.offsets) - 1


class Gatherer:
    """Gives the batch of any rows of a plan; `shards` hold the documents in the order of their numbers."""

    def __init__(self, plan: RowPlan, shards: Sequence[TokenColumns]) -> None:
        self._seq_len = plan.seq_len
        self._first_piece, self._document = _signed(plan.first_piece), _signed(plan.document)
        self._start, self._length = _signed(plan.start), _plain(plan.length)
        self._shards = [
            TokenColumns(ids=_plain(one.ids), loss_mask=_plain(one.loss_mask), offsets=_signed(one.offsets))
            for one in shards
        ]
        self._first_document = np.cumsum([0, *(one.num_documents for one in shards)])
        self._places = np.arange(plan.seq_len)
        only = self._shards[0] if len(self._shards) == 1 else None
        self._ids: Integers | None
        self._masks: NDArray[np.uint8] | None
        if only is not None and len(only.ids) > plan.seq_len + 1:
            self._ids = sliding_window_view(only.ids, plan.seq_len + 1)
            self._masks = sliding_window_view(only.loss_mask, plan.seq_len)
        else:
            self._ids, self._masks = None, None

    def gather(self, rows: Signed) -> RowBatch:
        """The batch of these rows, all arrays (R, L)."""
        windows = self.windows(rows)
        return self.by_index(rows) if windows is None else windows.batch(0, len(rows))

    def windows(self, rows: Signed) -> Windows | None:
        """What is needed to copy batches of these rows quickly; None when gathering by index is quicker."""
        if self._ids is None or self._masks is None or not len(rows):
            return None
        first = self._first_piece[rows]
        num_pieces = self._first_piece[rows + 1] - first
        if not 0 < num_pieces.sum() <= _MOST_PIECES_PER_ROW * len(rows):
            return None
        start = self._shards[0].offsets[self._document[first]] + self._start[first]
        fits = start < len(self._ids)
        return Windows(
            ids=self._ids,
            masks=self._masks,
            shard=self._shards[0],
            places=self._places,
            start=np.minimum(start, len(self._ids) - 1),
            mends=self._mends(first, num_pieces, fits),
        )

    def _mends(self, first: Signed, num_pieces: Signed, fits: NDArray[np.bool_]) -> list[Mend]:
        """The pieces that are not where a row's window has them, row by row, and the padding."""
        piece = np.repeat(first, num_pieces) + _count_within(num_pieces)
        row, number = np.repeat(np.arange(len(first)), num_pieces), _count_within(num_pieces)
        length = self._length[piece].astype(np.int64)
        of_row = _sums(length, num_pieces)
        at = np.cumsum(length) - length - np.repeat(np.cumsum(of_row) - of_row, num_pieces)
        token = self._shards[0].offsets[self._document[piece]] + self._start[piece]
        moved = (number > 0) | ~fits[row]
        short = np.flatnonzero(of_row < self._seq_len)
        columns = [
            np.concatenate((values[moved], padding))
            for values, padding in (
                (row, short),
                (at, of_row[short]),
                (length, self._seq_len - of_row[short]),
                (number, np.full(len(short), -1)),
                (token, np.zeros(len(short), dtype=np.int64)),
            )
        ]
        order = np.argsort(columns[0], kind="stable")
        return list(zip(*(values[order].tolist() for values in columns), strict=True))

    def by_index(self, rows: Signed) -> RowBatch:
        """The batch of these rows, token by token."""
        first = self._first_piece[rows]
        return self._by_index(first, self._first_piece[rows + 1] - first)

    def _by_index(self, first: Signed, num_pieces: Signed) -> RowBatch:
        piece = np.repeat(first, num_pieces) + _count_within(num_pieces)
        length = self._length[piece].astype(np.int64)

        # Per gathered pair (N): its position in the piece, the piece's number in the row, its place in the batch.
        position = _count_within(length)
        pairs_per_row = _sums(length, num_pieces)
        row = np.repeat(np.arange(len(first)), pairs_per_row)
        place = row * self._seq_len + _count_within(pairs_per_row)
        inputs, targets, loss_mask = self._tokens(piece, length, position)

        def spread(values: NDArray[Any], fill: int, dtype: type) -> NDArray[Any]:
            batch: NDArray[Any] = np.full(len(first) * self._seq_len, fill, dtype=dtype)
            batch[place] = values
            return batch.reshape(len(first), self._seq_len)

        return RowBatch(
            inputs=spread(inputs, 0, np.int64),
            targets=spread(targets, 0, np.int64),
            loss_mask=spread(loss_mask, 0, np.bool_),
            positions=spread(position, 0, np.int64),
            document_ids=spread(np.repeat(_count_within(num_pieces), length), -1, np.int64),
        )

    def _tokens(
        self, piece: Signed, length: Signed, position: Signed
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Inputs, targets and masks (N) of pieces, shard by shard."""
        document = self._document[piece]
        shard_of_piece = np.searchsorted(self._first_document, document, side="right") - 1
        inputs = np.empty(len(position), dtype=self._shards[0].ids.dtype)
        targets, loss_mask = np.empty_like(inputs), np.empty(len(position), dtype=np.uint8)
        for number in np.unique(shard_of_piece).tolist():
            shard, here = self._shards[number], shard_of_piece == number
            start = shard.offsets[document[here] - self._first_document[number]] + self._start[piece[here]]
            pairs = np.repeat(here, length)
            token = np.repeat(start, length[here]) + position[pairs]
            inputs[pairs], targets[pairs] = shard.ids[token], shard.ids[token + 1]
            loss_mask[pairs] = shard.loss_mask[token + 1]
        return inputs, targets, loss_mask


class Windows:
    """Rows as windows of the mapped ids, with what has to be mended in each; batches of consecutive rows of them."""

    def __init__(
        self,
        *,
        ids: Integers,
        masks: NDArray[np.uint8],
        shard: TokenColumns,
        places: Signed,
        start: Signed,
        mends: list[Mend],
    ) -> None:
        self._ids, self._masks, self._shard, self._places = ids, masks, shard, places
        self._start, self._next = start, start + 1
        self._mends = mends
        rows = np.array([mend[0] for mend in mends], dtype=np.int64)
        self._first_mend = np.searchsorted(rows, np.arange(len(start) + 1)).tolist()

    def batch(self, first: int, last: int) -> RowBatch:
        """The rows `first` to `last` (exclusive), all arrays (R, L)."""
        window = self._ids[self._start[first:last]]  # (R, L + 1)
        inputs, targets = window[:, :-1].astype(np.int64), window[:, 1:].astype(np.int64)
        loss_mask = self._masks[self._next[first:last]].view(np.bool_)
        positions, document_ids = np.empty_like(inputs), np.zeros_like(inputs)
        positions[:] = self._places
        only, places = self._shard, self._places
        for row, at, length, number, token in self._mends[self._first_mend[first] : self._first_mend[last]]:
            place = row - first, slice(at, at + length)
            if number < 0:
                inputs[place] = targets[place] = loss_mask[place] = positions[place] = 0
            else:
                inputs[place] = only.ids[token : token + length]
                targets[place] = only.ids[token + 1 : token + length + 1]
                loss_mask[place] = only.loss_mask[token + 1 : token + length + 1]
                positions[place] = places[:length]
            document_ids[place] = number
        return RowBatch(
            inputs=inputs,
            targets=targets,
            loss_mask=loss_mask,
            positions=positions,
            document_ids=document_ids,
        )


def count_supervised(plan: RowPlan, tokens: TokenColumns | Sequence[TokenColumns]) -> NDArray[np.uint32]:
    """Supervised targets per row (R)."""
    shards = shards_of(tokens)
    first_document = np.cumsum([0, *(one.num_documents for one in shards)])
    document, first_pair = _signed(plan.document), _signed(plan.start)
    length = np.asarray(plan.length, dtype=np.int64)
    of_piece = np.zeros(len(document), dtype=np.int64)
    for number, shard in enumerate(shards):
        here = np.flatnonzero((document >= first_document[number]) & (document < first_document[number + 1]))
        if not len(here):
            continue
        start = _signed(shard.offsets)[document[here] - first_document[number]] + first_pair[here] + 1
        order = np.argsort(start, kind="stable")
        of_piece[here[order]] = _sums_of_mask(_plain(shard.loss_mask), start[order], length[here[order]])
    return np.diff(np.concatenate(([0], np.cumsum(of_piece)))[_signed(plan.first_piece)]).astype(np.uint32)


def shards_of(tokens: TokenColumns | Sequence[TokenColumns]) -> Sequence[TokenColumns]:
    """One shard or several, as several."""
    return (tokens,) if isinstance(tokens, TokenColumns) else tokens


def _sums_of_mask(mask: NDArray[np.uint8], start: Signed, length: Signed) -> Signed:
    """Sums of disjoint stretches in rising order, none of them empty; some megabytes of the mask at a time."""
    sums = np.empty(len(start), dtype=np.int64)
    first = 0
    while first < len(start):
        last = int(np.searchsorted(start, start[first] + _MOST_MASK_BYTES))
        borders = np.stack([start[first:last], start[first:last] + length[first:last]], axis=1).reshape(-1)
        low = int(borders[0])
        held = np.array(mask[low : int(borders[-1])])
        num_zeros = len(held) - int(np.count_nonzero(held))
        if num_zeros <= len(held) // _FEW:  # plain text: count what is not learned, a tenth of the time
            zeros = np.flatnonzero(held == 0) + low
            sums[first:last] = length[first:last] - np.diff(np.searchsorted(zeros, borders))[::2]
        else:
            sums[first:last] = np.add.reduceat(held, borders[:-1] - low, dtype=np.int64)[::2]
        forget(mask)
        first = last
    return sums


def _plain(values: NDArray[Any]) -> NDArray[Any]:
    """The same memory as a plain array: slicing a `memmap` costs several times as much."""
    return np.asarray(values).view(np.ndarray)


def _signed(values: Integers) -> Signed:
    """The same numbers as int64, without a copy where they are uint64."""
    plain = _plain(values)
    return plain.view(np.int64) if plain.dtype == np.uint64 else plain.astype(np.int64, copy=False)


def _count_within(lengths: Signed) -> Signed:
    """0, 1, ... within each of several runs: `[2, 3]` gives `[0, 1, 0, 1, 2]`."""
    ends = np.cumsum(lengths)
    return np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - lengths, lengths)


def _sums(values: Signed, lengths: Signed) -> Signed:
    """Sums of runs of `values` that have these lengths."""
    ends = np.concatenate(([0], np.cumsum(values)))
    borders = np.concatenate(([0], np.cumsum(lengths)))
    return np.diff(ends[borders])

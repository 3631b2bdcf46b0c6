"""Which document a training reads at which step: worked out from the lock and the prepared set alone.

Decisions: order is a pure function, so nothing is recorded while training and nothing is trained here: step s reads
positions [(s - 1) * batch_rows, s * batch_rows), also of a run that was resumed, went back or has yet to come. The
newest lock tells of all steps, as it names each document that was left out with the position from which on. The
digest of a step runs over positions, row numbers and all tokens of its rows: equal digests, equal batches.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from itertools import islice

import attrs
import numpy as np
from numpy.typing import NDArray

from codex_core.contracts import PackedRows, RowBatch
from codex_core.data.documents import TextShard
from codex_core.data.packing import RowPlan, ShuffledRows
from codex_core.data.prepared import Prepared
from codex_core.data.splits import SPLITS
from codex_core.errors import InputError, UsageError
from codex_core.lock import Lock
from codex_core.running.leaving_out import WITHOUT, rows_of

#: Positions whose rows are looked at in one go.
_BLOCK_POSITIONS = 1 << 16

#: Ids among which near ones are sought, and how many of these are named.
_MOST_COMPARED, _NUM_NEAR = 10_000, 3


@attrs.frozen(kw_only=True)
class Place:
    """Where a document was read: number of the dataset in `data.sources`, file, line (or row of a table)."""

    document: str
    split: str
    source: int
    file: str
    line: int


@attrs.frozen(kw_only=True)
class Piece:
    """Part of a row: `tokens` pairs of a document from its pair `first` on.

    `supervised` of them are learned; `left_out` would be, had the document not been left out.
    """

    place: Place
    first: int
    tokens: int
    supervised: int
    left_out: int


@attrs.frozen(kw_only=True)
class TracedRow:
    """A row of the plan at a global position, in an epoch, with its pieces in order."""

    position: int
    epoch: int
    row: int
    pieces: tuple[Piece, ...]


@attrs.frozen(kw_only=True)
class TracedStep:
    """What one step reads. `digest` is `sha256:<hex>` of its rows, see `digest_of_rows`."""

    step: int
    digest: str
    rows: tuple[TracedRow, ...]

    @property
    def supervised(self) -> int:
        """Tokens that are learned in the step: the denominator of its loss."""
        return sum(piece.supervised for row in self.rows for piece in row.pieces)


@attrs.frozen(kw_only=True)
class Sighting:
    """A piece of a document that a step reads."""

    step: int
    position: int
    epoch: int
    row: int
    piece: Piece


class Trace:
    """The training of a lock over its prepared set, step by step."""

    def __init__(self, prepared: Prepared, lock: Lock) -> None:
        """Nothing is trained; the set must be the one that the lock names."""
        everything = attrs.evolve(
            lock, data={name: held for name, held in lock.data.items() if name != WITHOUT}
        )
        rows = rows_of(prepared, everything)
        assert isinstance(rows, ShuffledRows), "the rows of a prepared set without anything left out"
        self.steps = lock.steps
        self._batch_rows = lock.batch_rows
        self._prepared = prepared
        self._all = rows
        self._learned: PackedRows = rows_of(prepared, lock)
        self._documents = prepared.documents("train")

    def between(self, first: int, last: int) -> Iterator[TracedStep]:
        """Steps `first` to `last`; raises `UsageError` unless 1 <= first <= last <= `steps`."""
        if not 1 <= first <= last <= self.steps:
            raise UsageError(
                code="DAT-060",
                what=f"steps {first} to {last} are not steps of this run",
                where="--step",
                why=f"it has the steps 1 to {self.steps}",
                fix=f"--step 1..{min(self.steps, 3)}",
            )
        return (self._step(number) for number in range(first, last + 1))

    def sightings(self, document: str) -> tuple[list[Place], list[Sighting]]:
        """Where documents with this id were read, and every step that reads one, in the order of training.

        A document of another split than train is never read. Raises `InputError` for an unknown id.
        """
        places = []
        for split in SPLITS:
            shard = self._prepared.documents(split)
            numbers = _numbers_of(document, shard)
            places += [_place(shard, number, split) for number in numbers]
            if split == "train":
                mine = np.array(numbers, dtype=np.int64)
        if not places:
            raise self._unknown(document)
        return places, list(self._sightings(mine)) if len(mine) else []

    def _step(self, step: int) -> TracedStep:
        start = (step - 1) * self._batch_rows
        numbers = self._all.numbers(start, self._batch_rows)
        batch, learned = (rows.rows(start, self._batch_rows) for rows in (self._all, self._learned))
        rows = tuple(
            TracedRow(
                position=start + place,
                epoch=(start + place) // self._all.num_rows,
                row=row,
                pieces=self._pieces(row, batch, learned, place),
            )
            for place, row in enumerate(numbers.tolist())
        )
        return TracedStep(step=step, digest=f"sha256:{digest_of_rows(start, numbers, learned)}", rows=rows)

    def _pieces(self, row: int, batch: RowBatch, learned: RowBatch, place: int) -> tuple[Piece, ...]:
        """The pieces of a row of the plan, which is row `place` of the batch."""
        plan: RowPlan = self._all.plan
        first, last = int(plan.first_piece[row]), int(plan.first_piece[row + 1])
        of_row = batch.document_ids[place]
        supervised, left = (
            np.bincount(of_row[one.loss_mask[place]], minlength=last - first).tolist()
            for one in (batch, learned)
        )
        return tuple(
            Piece(
                place=_place(self._documents, int(plan.document[piece]), "train"),
                first=int(plan.start[piece]),
                tokens=int(plan.length[piece]),
                supervised=left[piece - first],
                left_out=supervised[piece - first] - left[piece - first],
            )
            for piece in range(first, last)
        )

    def _sightings(self, documents: NDArray[np.int64]) -> Iterator[Sighting]:
        """The pieces of these documents of the training split at all positions of the training."""
        plan = self._all.plan
        pieces = np.flatnonzero(np.isin(np.asarray(plan.document).astype(np.int64), documents))
        wanted = np.unique(np.searchsorted(np.asarray(plan.first_piece), pieces, side="right") - 1)
        ids = {self._documents.ids[int(number)] for number in documents}
        end = self.steps * self._batch_rows
        for start in range(0, end, _BLOCK_POSITIONS):
            numbers = self._all.numbers(start, min(_BLOCK_POSITIONS, end - start))
            for place in np.flatnonzero(np.isin(numbers, wanted)).tolist():
                yield from self._sightings_at(start + place, int(numbers[place]), ids)

    def _sightings_at(self, position: int, row: int, ids: set[str]) -> Iterator[Sighting]:
        batch, learned = self._all.rows(position, 1), self._learned.rows(position, 1)
        for piece in self._pieces(row, batch, learned, 0):
            if piece.place.document in ids:
                yield Sighting(
                    step=position // self._batch_rows + 1,
                    position=position,
                    epoch=position // self._all.num_rows,
                    row=row,
                    piece=piece,
                )

    def _unknown(self, document: str) -> InputError:
        known = islice(self._prepared.document_ids("train"), _MOST_COMPARED)
        near = get_close_matches(document, known, n=_NUM_NEAR)
        return InputError(
            code="DAT-061",
            what=f"the prepared set holds no document {document!r}",
            where="--doc",
            why=f"did you mean {' or '.join(near)}?"
            if near
            else f"its id is not one in {self._prepared.path}",
            fix="codex data trace RUN --step 1 names the documents of a step",
        )


def digest_of_rows(start: int, numbers: NDArray[np.int64], batch: RowBatch) -> str:
    """Hex sha256 over each position from `start` on, the number of its row in the plan, and the row itself."""
    digest = hashlib.sha256()
    for place, number in enumerate(numbers.tolist()):
        digest.update(np.array([start + place, number], dtype="<i8").tobytes())
        for values in (batch.inputs, batch.targets, batch.loss_mask, batch.positions, batch.document_ids):
            digest.update(values[place].astype("<i8").tobytes())
    return digest.hexdigest()


def _place(shard: TextShard, number: int, split: str) -> Place:
    source, file, line = shard.source_of(number)
    return Place(document=shard.ids[number], split=split, source=source, file=file, line=line)


def _numbers_of(document: str, shard: TextShard) -> Sequence[int]:
    """The documents of a split with this id; only ids of its length are read."""
    size = len(document.encode())
    lengths = np.diff(np.asarray(shard.ids.offsets).astype(np.int64))
    return [number for number in np.flatnonzero(lengths == size).tolist() if shard.ids[number] == document]

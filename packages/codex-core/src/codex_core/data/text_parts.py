"""One lot of a plan's rows, read, judged and stored by itself: what processes and machines share the work by.

Decisions: lots are stretches of the inputs, a pure function of their bytes, so every machine cuts alike; a lot knows
nothing of the others, therefore it keeps what is needed to find repeats later (16 bytes per row) and everything that
it would keep if there were none. Rows that repeat one of the same lot are dropped at once, unread by the policy.

Shapes: rows are numbered within the lot, over all that have a key.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from codex_core.canonical import digest_of
from codex_core.contracts import Dataset
from codex_core.data.columns import U64, ColumnWriter, read_column
from codex_core.data.documents import DocumentWriter, TextShard
from codex_core.data.intake import Judged, TextsPlan, judge
from codex_core.data.parts import EVERYTHING, parts_of, read_part, skipped_of
from codex_core.data.sources import checked
from codex_core.data.splits import SPLITS
from codex_core.files import Files
from codex_core.records import Part

FORMAT = "codex-text-part/1"

#: What a row with a key came to, as stored: a split, or why it was dropped.
OUTCOMES = (*SPLITS, "blocked", "empty", "unsupervised")

#: A lot has about so many bytes of input: more of them for small corpora, so that all processors have work.
MOST_LOT_BYTES = 16 << 20
LEAST_LOT_BYTES = 2 << 20
_LOTS = 32


@attrs.frozen
class Lot:
    """Parts of one source that are read together."""

    source: int
    parts: tuple[Part, ...]

    @property
    def num_bytes(self) -> int:
        """Bytes of input; 0 when the source does not tell."""
        return sum(part.end - part.start for part in self.parts)

    def identity(self) -> list[Any]:
        """Plain values."""
        return [self.source, *([part.file, part.start, part.end, part.row] for part in self.parts)]


def lots_of(datasets: Sequence[Dataset]) -> list[Lot]:
    """All rows of the sources in reading order, cut into lots; the bytes of the inputs alone decide."""
    lots = _cut(datasets, MOST_LOT_BYTES)
    total = sum(lot.num_bytes for lot in lots)
    lot_bytes = max(LEAST_LOT_BYTES, total // _LOTS)
    return lots if lot_bytes >= MOST_LOT_BYTES or total <= lot_bytes else _cut(datasets, lot_bytes)


def _cut(datasets: Sequence[Dataset], lot_bytes: int) -> list[Lot]:
    lots = []
    for number, dataset in enumerate(datasets):
        held: list[Part] = []
        held_bytes = 0
        for part in parts_of(dataset, lot_bytes):
            num_bytes = part.end - part.start
            if held and (held_bytes + num_bytes > lot_bytes or part == EVERYTHING):
                lots.append(Lot(number, tuple(held)))
                held, held_bytes = [], 0
            held.append(part)
            held_bytes += num_bytes
        if held:
            lots.append(Lot(number, tuple(held)))
    return lots


def lots_digest(lots: Sequence[Lot]) -> str:
    """`sha256:<hex>` of how the rows were cut."""
    return digest_of([lot.identity() for lot in lots])


class _LotWriter:
    """Writes the rows of a lot as they are judged; a context manager."""

    def __init__(self, folder: Path, *, files: Files) -> None:
        self.roles: dict[str, int] = {}
        self.rules: dict[str, int] = {}
        self.num_rows = 0
        self._documents = {
            split: DocumentWriter(folder, split, roles=self.roles, files=files) for split in SPLITS
        }
        self._columns = {
            name: ColumnWriter(folder / f"rows.{name}", files=files)
            for name in ("key", "outcome", "redacted", "redacted.key", "matches")
        }
        self._stack = ExitStack()

    def __enter__(self) -> _LotWriter:
        with self._stack:
            for documents in self._documents.values():
                self._stack.enter_context(documents)
            for column in self._columns.values():
                self._stack.enter_context(column)
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def append(self, judged: Judged, *, name_number: int) -> None:
        """Add a row that has a key."""
        columns = self._columns
        columns["key"].append(judged.keys[0])
        columns["outcome"].append(bytes([OUTCOMES.index(judged.split or judged.reason or "")]))
        for key in judged.keys[1:]:
            columns["redacted"].append_number(self.num_rows)
            columns["redacted.key"].append(key)
        for rule, count in Counter(judged.rules).items():
            for number in (self.num_rows, self.rules.setdefault(rule, len(self.rules)), count):
                columns["matches"].append_number(number)
        if judged.split is not None and judged.record is not None:
            self._documents[judged.split].append(judged.record, name_number=name_number)
        self.num_rows += 1


def write_lot(folder: Path, plan: TextsPlan, lot: Lot, *, files: Files) -> dict[str, Any]:
    """Read a lot into an empty folder; returns its manifest. Raises `InputError` for the first row that is wrong."""
    dataset = plan.sources[lot.source].dataset
    names: dict[str, int] = {}
    dropped: Counter[str] = Counter()
    skipped: Counter[str] = Counter()
    known: set[bytes] = set()
    num_read = 0
    with _LotWriter(folder, files=files) as writer:
        for record in _records(dataset, lot.parts, skipped):
            num_read += 1
            name_number = names.setdefault(record.source[0], len(names))
            judged = judge(record, plan, is_known=known.__contains__)
            if judged.keys:
                writer.append(judged, name_number=name_number)
            else:
                assert judged.reason is not None, "a row without a key is dropped"
                dropped[judged.reason] += 1
            if plan.dedup == "exact":
                known.update(judged.keys[:1])
    return {
        "source": lot.source,
        "parts": [attrs.asdict(part) for part in lot.parts],
        "read": num_read + skipped.total(),
        "rows": writer.num_rows,
        "dropped": dict(dropped),
        "skipped": dict(skipped),
        "names": list(names),
        "roles": list(writer.roles),
        "rules": list(writer.rules),
    }


def _records(dataset: Dataset, parts: Sequence[Part], skipped: Counter[str]) -> Iterator[Any]:
    """The checked records of the parts; rows that the dataset skipped are added to `skipped`."""
    for part in parts:
        for record in read_part(dataset, part):
            yield checked(record)
        skipped.update(skipped_of(dataset))


class TextPart:
    """A lot as stored, mapped for reading."""

    def __init__(self, folder: Path, manifest: Mapping[str, Any]) -> None:
        self.folder = folder
        self.manifest = manifest
        self.outcomes: NDArray[np.uint8] = read_column(folder / "rows.outcome", np.uint8)

    def __len__(self) -> int:
        return len(self.outcomes)

    def keys(self) -> NDArray[np.uint64]:
        """Two halves of the key of each row as it was read, (n, 2)."""
        return read_column(self.folder / "rows.key", U64).reshape(-1, 2)

    def redacted(self) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        """The rows that the policy changed, and their keys afterwards."""
        rows = read_column(self.folder / "rows.redacted", U64)
        return rows, read_column(self.folder / "rows.redacted.key", U64).reshape(-1, 2)

    def matches(self) -> NDArray[np.uint64]:
        """Row, rule and count of the policy's matches, (n, 3)."""
        return read_column(self.folder / "rows.matches", U64).reshape(-1, 3)

    def shard(self, split: str) -> TextShard:
        """The documents that go into `split` unless they repeat others."""
        source = self.manifest["source"]
        names = [(source, name) for name in self.manifest["names"]]
        return TextShard(self.folder, split, roles=self.manifest["roles"], names=names)

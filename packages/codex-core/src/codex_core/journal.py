"""The journal of a run: the one synchronous write and the source of truth.

Decisions: NDJSON; one append per batch, made durable at `sync`; one file per attempt and segment
(`r0-a1-000001.ndjson`), never changed afterwards; `sequence` counts through all attempts, and `prev` is the digest
of the line before, across files. A torn last line is what a killed process leaves: it is reported and passed over,
and the next attempt links to the last whole line. NaN and infinities are the texts `NaN`, `Infinity`, `-Infinity`.

    {"sequence": 7, "time": "...Z", "attempt": 1, "kind": "step", "fields": {...}, "prev": "sha256:..."}
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from codex_core.canonical import sha256_of
from codex_core.clock import Now, timestamp, utc_now
from codex_core.errors import ArtefactError
from codex_core.files import OS_FILES, Files

#: A segment is closed at this size, so that no single file of a long run grows without bound.
SEGMENT_BYTES = 64 << 20

_NAME = re.compile(r"r(\d+)-a(\d+)-(\d{6})\.ndjson")


@attrs.frozen(kw_only=True)
class JournalRecord:
    """One line, read back."""

    sequence: int
    time: str
    attempt: int
    kind: str
    fields: Mapping[str, Any]


@attrs.frozen(kw_only=True)
class History:
    """All attempts of a journal as read: `problems` are sentences, `tail` is the digest of the last whole line."""

    records: tuple[JournalRecord, ...] = ()
    problems: tuple[str, ...] = ()
    sequence: int = 0
    tail: str | None = None
    attempt: int = 0


def plain(value: Any) -> Any:
    """`value` as JSON can hold it without loss: numbers of other libraries become Python's, NaN becomes text."""
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else json.dumps(float(value))
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(held) for key, held in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(held) for held in (sorted(value) if isinstance(value, (set, frozenset)) else value)]
    if callable(item := getattr(value, "item", None)):  # NumPy scalars
        return plain(item())
    return str(value)


class Journal:
    """Appends to one attempt's journal. Used by one thread."""

    def __init__(
        self, folder: Path, *, attempt: int, sequence: int, prev: str | None, now: Now, files: Files
    ) -> None:
        self._folder, self._attempt, self._now, self._files = folder, attempt, now, files
        self._sequence, self._prev = sequence, prev
        self._segment, self._descriptor, self._size = 0, -1, 0

    @classmethod
    def start(
        cls, folder: Path, *, after: History | None = None, now: Now = utc_now, files: Files = OS_FILES
    ) -> Journal:
        """Open the journal of the attempt that follows `after`, in a file of its own."""
        after = History() if after is None else after
        journal = cls(
            folder, attempt=after.attempt + 1, sequence=after.sequence, prev=after.tail, now=now, files=files
        )
        folder.mkdir(exist_ok=True)
        journal._open_segment()
        return journal

    @property
    def attempt(self) -> int:
        """The number of this attempt, from 1."""
        return self._attempt

    @property
    def sequence(self) -> int:
        """The number of the last record."""
        return self._sequence

    @property
    def tail(self) -> str | None:
        """The digest of the last line."""
        return self._prev

    def append(self, *entries: tuple[str, Mapping[str, Any]]) -> None:
        """Write records `(kind, fields)` in one batch; on an error nothing of the batch stays."""
        time, sequence, prev = timestamp(self._now()), self._sequence, self._prev
        lines = []
        for kind, fields in entries:
            sequence += 1
            row = {"sequence": sequence, "time": time, "attempt": self._attempt, "kind": kind}
            line = _line(row | {"fields": plain(fields), "prev": prev})
            lines.append(line)
            prev = sha256_of(line)
        batch = b"".join(line + b"\n" for line in lines)
        if self._size and self._size + len(batch) > SEGMENT_BYTES:
            self.sync()
            self._open_segment()
        os.ftruncate(self._descriptor, self._size)  # drops what a failed append may have left
        self._files.append(self._descriptor, batch)
        self._size += len(batch)
        self._sequence, self._prev = sequence, prev

    def sync(self) -> None:
        """Make everything appended so far durable."""
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Sync and release; closing twice is harmless."""
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def _open_segment(self) -> None:
        self.close()
        self._segment += 1
        path = self._folder / f"r0-a{self._attempt}-{self._segment:06d}.ndjson"
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        self._size = 0
        self._files.sync_folder(self._folder)


def _line(row: Mapping[str, Any]) -> bytes:
    return json.dumps(row, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode(
        errors="backslashreplace"
    )


def segments(folder: Path, *, rank: int = 0) -> list[tuple[int, int, Path]]:
    """The segments of a rank as (attempt, number, path), in order."""
    found = []
    for path in folder.iterdir() if folder.is_dir() else ():
        match = _NAME.fullmatch(path.name)
        if match and int(match[1]) == rank:
            found.append((int(match[2]), int(match[3]), path))
    return sorted(found)


def read(folder: Path, *, rank: int = 0) -> History:
    """All attempts in order. Damage is told in `problems`, never raised; an absent folder is an empty history."""
    records: list[JournalRecord] = []
    problems: list[str] = []
    sequence, tail = 0, None
    found = segments(folder, rank=rank)
    for _, _, path in found:
        for number, line, is_whole in _lines(path):
            record = _parse(line) if is_whole else None
            if record is None:
                what = (
                    "an unreadable line" if is_whole else "a torn last line (the process died while writing)"
                )
                problems.append(f"{path.name}, line {number}: {what}")
                continue
            if record["prev"] != tail or record["sequence"] != sequence + 1:
                problems.append(f"{path.name}, line {number}: does not follow the line before it")
            sequence, tail = record["sequence"], sha256_of(line)
            del record["prev"]
            records.append(JournalRecord(**record))
    return History(
        records=tuple(records),
        problems=tuple(problems),
        sequence=sequence,
        tail=tail,
        attempt=found[-1][0] if found else 0,
    )


def last(folder: Path, *, rank: int = 0) -> JournalRecord | None:
    """The last whole record of the newest attempt, without reading the rest; None when it has none."""
    for _, _, path in segments(folder, rank=rank)[-1:]:
        lines = [line for _, line, is_whole in _lines(path) if is_whole]
        record = _parse(lines[-1]) if lines else None
        if record is not None:
            del record["prev"]
            return JournalRecord(**record)
    return None


def verify(folder: Path, *, rank: int = 0) -> History:
    """Read a journal and raise `ArtefactError` where it was altered; torn last lines are told, not refused."""
    history = read(folder, rank=rank)
    altered = [problem for problem in history.problems if "torn last line" not in problem]
    if altered:
        raise ArtefactError(
            code="JRN-001",
            what="the journal was altered after it was written",
            where=str(folder / altered[0].partition(",")[0]),
            why="; ".join(altered[:3]),
            fix="restore the run directory from a copy; checkpoints verify on their own",
        )
    return history


def _lines(path: Path) -> Iterator[tuple[int, bytes, bool]]:
    """Lines with their number and whether they end; only the last one can lack its end."""
    pieces = path.read_bytes().split(b"\n")
    for number, line in enumerate(pieces[:-1], start=1):
        yield number, line, True
    if pieces[-1]:
        yield len(pieces), pieces[-1], False


_FIELDS: Sequence[tuple[str, type | tuple[type, ...]]] = (
    ("sequence", int),
    ("time", str),
    ("attempt", int),
    ("kind", str),
    ("fields", dict),
    ("prev", (str, type(None))),
)


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    if not isinstance(row, dict) or row.keys() != {name for name, _ in _FIELDS}:
        return None
    return row if all(isinstance(row[name], kind) for name, kind in _FIELDS) else None

"""Metric rows as TensorBoard scalars.

Decisions: the event file is written with TensorBoard's own record format and messages, in this thread, without
TensorFlow; each attempt has a file of its own, and a resumed one says from which step on it replaces what the
earlier ones wrote, so that TensorBoard shows the curve that counts; values are 32-bit floats, as TensorBoard has
them (the run's own views keep full precision); `flush` syncs, so that what it acknowledges survives a crash.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

from codex_core.contracts import RunInfo
from codex_core.errors import InputError, MissingDependency
from codex_telemetry.options import TensorBoardOptions

try:
    from tensorboard.compat.proto.event_pb2 import Event, SessionLog
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter

    MISSING: str | None = None
except ImportError as error:
    MISSING = f"{error}; pip install 'codex-telemetry[tensorboard]'"

#: Below the run directory.
FOLDER = "tensorboard"

#: Keys of a row that are no measurement.
_AXES = ("step", "split")


class TensorBoardWriter:
    """Writes scalars below `<run>/tensorboard`; see `codex_core.contracts.Writer`."""

    capabilities = frozenset({"durable", "scalars"})

    def __init__(
        self, options: TensorBoardOptions | None = None, *, clock: Callable[[], float] = time.time
    ) -> None:
        self.options = options or TensorBoardOptions()
        self._clock = clock
        self._file: BinaryIO | None = None
        self._is_continued = False
        self._sequence = 0

    def probe(self) -> str | None:
        """None when TensorBoard is installed, else one sentence why it cannot be used."""
        return MISSING

    def open(self, run: RunInfo) -> None:
        """Begin the event file of an attempt; raises `MissingDependency` without TensorBoard."""
        if MISSING is not None:
            raise MissingDependency(
                code="TEL-004",
                what="the writer 'tensorboard' needs the library TensorBoard",
                why=MISSING,
                fix="pip install 'codex-telemetry[tensorboard]'",
            )
        folder = run.path / FOLDER
        folder.mkdir(exist_ok=True)
        # TensorBoard reads files in the order of their names and takes whatever has `tfevents` in it.
        name = f"events.out.tfevents.{int(self._clock()):010d}.codex.a{run.attempt:04d}"
        self._file = (folder / name).open("xb")
        self._is_continued = run.attempt > 1
        self._add(Event(file_version="brain.Event:2"))

    def write(self, row: Mapping[str, Any], sequence: int) -> None:
        """Add the numbers of one row; raises `InputError` for a value that is no number."""
        step, split = int(row["step"]), str(row["split"])
        if self._is_continued:
            self._add(Event(step=step, session_log=SessionLog(status=SessionLog.START)))
            self._is_continued = False
        values = [
            Summary.Value(tag=self._tag(split, name), simple_value=_number(name, value))
            for name, value in row.items()
            if name not in _AXES
        ]
        self._add(Event(step=step, summary=Summary(value=values)))
        self._sequence = sequence

    def flush(self) -> int:
        """Sync the file; returns the sequence number of the newest row, 0 before the first."""
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())
        return self._sequence

    def close(self) -> None:
        """Sync and close the file."""
        self.flush()
        if self._file is not None:
            self._file.close()
            self._file = None

    def _add(self, event: Any) -> None:
        assert self._file is not None, "a writer is opened before it is written to"
        event.wall_time = self._clock()
        RecordWriter(self._file).write(event.SerializeToString())

    def _tag(self, split: str, name: str) -> str:
        return f"{split}/{name}" if self.options.group_by == "split" else f"{name}/{split}"


def _number(name: str, value: Any) -> float:
    """A value of a row as a float; rows spell NaN and infinities as texts."""
    if isinstance(value, (int, float)) or value in ("NaN", "Infinity", "-Infinity"):
        return float(value)
    raise InputError(
        code="TEL-003",
        what=f"the metric {name!r} is {type(value).__name__}, TensorBoard scalars are numbers",
    )

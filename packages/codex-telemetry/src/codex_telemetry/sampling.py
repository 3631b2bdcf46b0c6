"""Samples of the machine while a run goes on, in `system.ndjson`.

Decisions: one daemon thread per run; the first sample is taken before the run goes on, the last one when it stops,
so that the shortest run has two; a stop waits for a sample at most, never for the interval, and gives up after
`STOP_WAIT_S`; what was not stopped is stopped when the interpreter exits. A sampler that fails ends with the
reason; it never ends the run. Rows are appended, each with one unbuffered write, so a killed run keeps them.
"""

from __future__ import annotations

import atexit
import functools
import json
import logging
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from codex_core.clock import Now, timestamp, utc_now
from codex_core.errors import InputError, UsageError
from codex_core.events import RunStartedContext
from codex_core.files import OS_FILES, Files
from codex_telemetry.probes import Probe, probes_for
from codex_telemetry.samples import SAMPLES_NAME, SCHEMA

#: How long a stop waits for the sample that is being taken; calls into a driver may hang.
STOP_WAIT_S = 1.5

MODES = ("off", "cpu", "gpu")

_LOG = logging.getLogger("codex_telemetry")


class Sampler:
    """Writes a row now, then one each `interval_s` seconds, then a last one at `stop`."""

    def __init__(
        self,
        path: Path,
        *,
        attempt: int,
        interval_s: float,
        probes: Sequence[Probe],
        now: Now = utc_now,
        files: Files = OS_FILES,
        stop_wait_s: float = STOP_WAIT_S,
    ) -> None:
        self.failure: Exception | None = None
        self._path, self._attempt, self._interval_s = path, attempt, interval_s
        self._probes, self._now, self._files, self._stop_wait_s = probes, now, files, stop_wait_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="codex-system-metrics", daemon=True)
        self._descriptor = -1
        self._started = 0.0

    def start(self) -> dict[str, Any]:
        """Open the file, write the first row and return it; raises `OSError` when that fails."""
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        self._started = time.monotonic()
        self._end_torn_line()
        row = self._sample(missed=0)
        self._thread.start()
        return row

    def stop(self) -> None:
        """End the thread, with a last row; raises what made the sampler fail. Stopping twice is harmless."""
        self._stopping.set()
        self._thread.join(self._stop_wait_s)
        if self._thread.is_alive():
            self.failure = TimeoutError(f"a sample took longer than {self._stop_wait_s:g} s")
        if self.failure is not None:
            raise self.failure

    def _work(self) -> None:
        try:
            due, missed = self._interval_s, 0
            while not self._stopping.wait(due - self._elapsed()):
                self._sample(missed=missed)
                due, missed = next_due(due, self._elapsed(), self._interval_s)
            self._sample(missed=missed)
        except Exception as error:  # noqa: BLE001 -- kept for whoever stops the sampler; the run goes on
            self.failure = error
        finally:
            os.close(self._descriptor)

    def _elapsed(self) -> float:
        return time.monotonic() - self._started

    def _sample(self, *, missed: int) -> dict[str, Any]:
        row: dict[str, Any] = {
            "schema": SCHEMA,
            "time": timestamp(self._now()),
            "attempt": self._attempt,
            "elapsed_s": round(self._elapsed(), 3),
            "missed": missed,
        }
        samples = [probe() for probe in self._probes]
        reasons = [reason for sample in samples for reason in sample.reasons]
        row["degraded"] = bool(reasons)
        if reasons:
            row["reasons"] = reasons
        for sample in samples:
            row |= sample.values
        self._files.append(self._descriptor, json.dumps(row, ensure_ascii=False).encode() + b"\n")
        return row

    def _end_torn_line(self) -> None:
        """End the line that an earlier attempt may have left torn, so that it does not swallow ours."""
        size = os.fstat(self._descriptor).st_size
        if size and os.pread(self._descriptor, 1, size - 1) != b"\n":
            os.write(self._descriptor, b"\n")


def next_due(due_s: float, elapsed_s: float, interval_s: float) -> tuple[float, int]:
    """When the sample after the one due at `due_s` is due, and how many ticks passed meanwhile.

    >>> next_due(5.0, 5.1, 5.0), next_due(5.0, 21.0, 5.0)
    ((10.0, 0), (25.0, 3))
    """
    following = (int(elapsed_s / interval_s) + 1) * interval_s
    return following, max(0, round((following - due_s) / interval_s) - 1)


_active: dict[Path, Sampler] = {}


def start(ctx: RunStartedContext) -> None:
    """Begin to sample for a run, as its `telemetry` section says; tells aloud what cannot be measured."""
    mode = ctx.telemetry.get("system_metrics", "off")
    if mode not in MODES:
        raise UsageError(
            code="TEL-001",
            what=f"telemetry.system_metrics cannot be {mode!r}",
            fix=f"one of {', '.join(MODES)}",
        )
    if mode == "off":
        return
    stop(ctx.run_dir)
    sampler = Sampler(
        ctx.run_dir / SAMPLES_NAME,
        attempt=ctx.attempt,
        interval_s=float(ctx.telemetry.get("system_interval_s", 5.0)),
        probes=probes_for(mode),
    )
    try:
        row = sampler.start()
    except OSError as error:
        raise _unwritten(ctx.run_dir, error) from error
    _active[ctx.run_dir] = sampler
    _stop_at_exit()
    for reason in row.get("reasons", ()):
        _LOG.warning("system metrics are degraded: %s", reason)


def stop(run_dir: Path) -> None:
    """End the sampling for a run, if there is any; raises `InputError` when it had failed."""
    sampler = _active.pop(run_dir, None)
    if sampler is None:
        return
    try:
        sampler.stop()
    except Exception as error:  # whatever stopped the samples is told once, in our words; raised again
        raise _unwritten(run_dir, error) from error


@functools.cache
def _stop_at_exit() -> None:
    atexit.register(_stop_all, os.getpid())


def _stop_all(process_id: int) -> None:
    """Stop what a run that ended without saying so left behind; a forked child has nothing to stop."""
    for run_dir in list(_active) if os.getpid() == process_id else ():
        try:
            stop(run_dir)
        except InputError as error:
            _LOG.warning("%s", error)


def _unwritten(run_dir: Path, error: Exception) -> InputError:
    return InputError(
        code="TEL-002",
        what="system metrics could not be sampled to the end",
        where=str(run_dir / SAMPLES_NAME),
        why=f"{type(error).__name__}: {error}",
        fix="the run itself is complete; telemetry.system_metrics=off leaves them out",
    )

"""One attempt of a run, from its first record to its last: a context manager around the training.

Decisions: however the training ends, the writers are stopped and joined, the journal gets a last record, the views
are rewritten, `run.json` gets the status and its cause, and plugins are told; each of these is tried even when the
one before failed. Out of memory and a full disk are answers (exit 1); what nobody foresaw stays an exception.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import attrs

from codex_core.clock import Now, timestamp, utc_now
from codex_core.contracts import Emit, RunInfo, Writer
from codex_core.errors import CodexError, ExitCode, Interrupted, RollBack, RunFailed
from codex_core.events import (
    CheckpointSaved,
    CheckpointSavedContext,
    Event,
    RunFinished,
    RunFinishedContext,
    RunResumed,
    RunStarted,
    RunStartedContext,
)
from codex_core.files import OS_FILES, Files
from codex_core.journal import History, Journal
from codex_core.lock import Lock
from codex_core.places import Places
from codex_core.records import FitResult
from codex_core.running import binding, project_journal
from codex_core.running.recorder import Recorder, failed_write
from codex_core.running.sinks import Pump
from codex_core.running.views import MetricRows
from codex_core.runs import RunDir
from codex_core.scrub import Scrubber

if TYPE_CHECKING:
    from codex_core.registry import Registry


@attrs.frozen(kw_only=True)
class Verdict:
    """How an attempt ended: `finished`, `stopped`, `failed`, `interrupted` or `rolled back`, why, and the exit code."""

    status: str
    reason: str
    exit_code: int


@attrs.define(kw_only=True, eq=False)
class Attempt:
    """Enter it to record the start, leave it to record the end; `emit` is what happens between."""

    run: RunDir
    lock: Lock
    registry: Registry
    places: Places
    writers: Sequence[tuple[str, Writer]]
    journal: Journal
    display: Emit
    resumed: RunResumed | None = None
    history: History = attrs.field(factory=History)
    noticed: Sequence[Event] = ()
    scrub: Scrubber = attrs.field(factory=Scrubber)
    now: Now = utc_now
    files: Files = OS_FILES
    verdict: Verdict | None = None
    recorder: Recorder = attrs.field(init=False)

    @property
    def number(self) -> int:
        """The number of the attempt, from 1."""
        return self.history.attempt + 1

    def __enter__(self) -> Self:
        record = self.run.record()
        info = RunInfo(
            run_id=record["id"],
            name=record["name"],
            attempt=self.number,
            path=self.run.path,
            tags=record["tags"],
        )
        pump = Pump(self.writers, info)
        self.recorder = Recorder(
            run=self.run,
            journal=self.journal,
            rows=MetricRows.of(self.history.records),
            pump=pump,
            scrub=self.scrub,
            display=self.display,
            files=self.files,
            step=0 if self.resumed is None else self.resumed.step,
        )
        pump.__enter__()
        try:
            self._start(record)
        except BaseException as error:  # `with` calls no `__exit__` when entering fails; raised again
            self.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def emit(self, event: Event) -> None:
        """Record an event; after a saved checkpoint plugins are told."""
        self.recorder.emit(event)
        if isinstance(event, CheckpointSaved):
            context = CheckpointSavedContext(
                run_id=self.run.record()["id"],
                run_dir=self.run.path,
                step=event.step,
                path=self.run.path / event.path,
            )
            self.recorder.fire(self.registry.fire, "codex_checkpoint_saved", context)

    def finish(self, fit: FitResult, *, signal_number: int | None, asked: str | None = None) -> None:
        """Say how the training ended, when it ended by itself; `asked` is why it was to stop where it was no signal."""
        if fit.reason == "signal" and signal_number is None and asked is not None:
            self.verdict = Verdict(status="stopped", reason=asked, exit_code=0)
        elif fit.reason == "signal":
            number = signal_number or 2
            code = ExitCode.TERMINATED if number == 15 else ExitCode.INTERRUPTED
            self.verdict = Verdict(status="interrupted", reason=f"signal {number}", exit_code=int(code))
        elif fit.reason == "finished":
            self.verdict = Verdict(status="finished", reason="all steps are done", exit_code=0)
        else:
            self.verdict = Verdict(status="stopped", reason=fit.reason, exit_code=0)
        self.recorder.step = fit.steps

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        error = None if error is None else explained(error, self.run.path)
        if error is not None:
            self.verdict = verdict_on(error)
        problems = self._end()
        error = error or (problems[0] if problems else None)
        if error is not None:
            project_journal.note_failure(
                self.places, error, command="train", now=self.now, run=self.run.path.name
            )
            raise error

    def _start(self, record: Mapping[str, Any]) -> None:
        digest = self.lock.digest()
        changes = {
            "status": "running",
            "reason": "",
            "exit_code": None,
            "ended": None,
            "attempt": self.number,
            "config_hash": self.lock.config_hash,
            "lock_digest": digest,
            "journal": None,
            "files": dict[str, str](),
        }
        self.run.update(changes, files=self.files)
        self.emit(
            RunStarted(
                run_id=record["id"],
                name=record["name"],
                attempt=self.number,
                lock_digest=digest,
                steps=self.lock.steps,
            )
        )
        self.emit(binding.bound(self.run, self.lock))
        for event in self.noticed:
            self.emit(event)
        if self.resumed is not None:
            self.emit(self.resumed)
            self.recorder.write_views()
        context = RunStartedContext(
            run_id=record["id"],
            run_dir=self.run.path,
            attempt=self.number,
            lock=self.lock.as_dict(),
            telemetry=self._telemetry(),
        )
        self.recorder.fire(self.registry.fire, "codex_run_started", context)

    def _end(self) -> list[Exception]:
        """Everything that happens at the end, each part whether or not the one before succeeded."""
        problems: list[Exception] = []
        parts: list[Callable[[], None]] = [
            self._stop_writers,
            self._say_finished,
            self.recorder.write_views,
            lambda: self._update_record(problems),
            self._tell_plugins,
            self.recorder.journal.close,
            self._seal,
        ]
        for part in parts:
            try:
                part()
            except OSError as problem:
                problems.append(failed_write(problem, str(self.run.path)))
            except Exception as problem:  # noqa: BLE001 -- collected; the first one is raised by `__exit__`
                problems.append(problem)
        return problems

    def _stop_writers(self) -> None:
        self.recorder.pump.stop()
        for event in self.recorder.pump.events():
            self.emit(event)

    def _say_finished(self) -> None:
        verdict = self._verdict()
        self.emit(
            RunFinished(
                status=verdict.status,
                step=self.recorder.step,
                reason=verdict.reason,
                exit_code=verdict.exit_code,
            )
        )

    def _update_record(self, problems: Sequence[Exception]) -> None:
        verdict = self._verdict() if not problems else verdict_on(problems[0])
        changes = {
            "status": verdict.status,
            "reason": self.scrub.text(verdict.reason),
            "exit_code": verdict.exit_code,
            "step": self.recorder.step,
            "ended": timestamp(self.now()),
        }
        self.run.update(changes, files=self.files)

    def _tell_plugins(self) -> None:
        context = RunFinishedContext(
            run_id=self.run.record()["id"],
            run_dir=self.run.path,
            status=self._verdict().status,
            step=self.recorder.step,
            telemetry=self._telemetry(),
        )
        self.recorder.fire(self.registry.fire, "codex_run_finished", context)

    def _seal(self) -> None:
        """Write down how the journal ended and what lies beside it: the last thing that an attempt does."""
        books = self.recorder.journal
        changes = {
            "journal": {"sequence": books.sequence, "tail": books.tail},
            "files": binding.sealed(self.run),
        }
        self.run.update(changes, files=self.files)

    def _verdict(self) -> Verdict:
        assert self.verdict is not None, "an attempt is left by `finish` or by an exception"
        return self.verdict

    def _telemetry(self) -> Mapping[str, Any]:
        return dict(self.lock.config.get("telemetry", {}))


def explained(error: BaseException, where: Path) -> BaseException:
    """An exception as what it means for a run: out of memory and a full disk are answers, the rest stays."""
    if _ran_out_of_memory(error):
        fix = "make trainer.batch_rows, data.seq_len or the model smaller; codex plan FILE shows what takes memory"
        failed = RunFailed(
            code="RUN-011", what="out of memory", where=str(where), why=str(error) or None, fix=fix
        )
    elif isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        fix = "free some disk space, then: codex train --resume RUN"
        failed = RunFailed(code="RUN-008", what="the disk is full", where=str(where), why=str(error), fix=fix)
    else:
        return error
    failed.__cause__ = error
    return failed


def _ran_out_of_memory(error: BaseException) -> bool:
    """Python's exception, torch's (by name), or what torch's allocator for main memory says."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)


def verdict_on(error: BaseException) -> Verdict:
    """How an attempt that ended with an exception is recorded."""
    if isinstance(error, Interrupted):
        return Verdict(status="interrupted", reason=error.what, exit_code=int(error.exit_code))
    if isinstance(error, KeyboardInterrupt):
        return Verdict(status="interrupted", reason="SIGINT", exit_code=int(ExitCode.INTERRUPTED))
    if isinstance(error, RollBack):
        return Verdict(
            status="rolled back", reason=f"{error.code}: {error.what}", exit_code=int(error.exit_code)
        )
    if isinstance(error, CodexError):
        return Verdict(status="failed", reason=f"{error.code}: {error.what}", exit_code=int(error.exit_code))
    return Verdict(status="failed", reason=f"{type(error).__name__}: {error}", exit_code=int(ExitCode.BUG))

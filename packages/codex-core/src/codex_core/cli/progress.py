"""What a person sees while work goes on: bars on a terminal, sparse plain lines elsewhere, JSON lines for programs.

Decisions: everything goes to stderr; off a terminal one line per 30 s or per 5 % of a phase, whichever comes
first; JSON lines hold the events themselves, progress once per second and phase; `off` hides progress and still
says warnings and evaluations; rich is loaded on a terminal only; the display sees events and never delays them.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TextIO

from codex_core.cli.output import print_json
from codex_core.events import (
    CheckpointRejected,
    CheckpointSaved,
    EvaluationDone,
    Event,
    PerfMeasured,
    PluginFailed,
    ProgressMade,
    RunResumed,
    RunStarted,
    StepDone,
    Warned,
    WriterDisabled,
)

if TYPE_CHECKING:
    from rich.progress import Progress

    from codex_core.cli.session import Flags

QUIET_S = 30.0
QUIET_SHARE = 0.05
JSON_S = 1.0

PHASES = {
    "read": "reading",
    "tokenizer": "training the tokenizer",
    "tokenize": "tokenizing",
    "pack": "packing",
    "train": "training",
    "evaluate": "evaluating",
}


class Display:
    """Shows events; use as a context manager, call with each event. `verbosity` below 0 shows nothing.

    `mode` is one of `codex_core.cli.commands.PROGRESS`.
    """

    def __init__(
        self,
        *,
        verbosity: int = 0,
        mode: str = "auto",
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.stream = stream or sys.stderr
        self.verbosity = verbosity
        self.mode = mode
        self._clock = clock
        self._painter: _Bars | _Lines | _JsonLines | None = None
        self._numbers: dict[str, float] = {}
        self._steps = 0

    @classmethod
    def of(cls, flags: Flags) -> Self:
        """The display that the global flags ask for."""
        return cls(verbosity=flags.verbosity, mode=flags.progress)

    def __enter__(self) -> Self:
        if self.verbosity >= 0:
            self._painter = self._painter_for(self.mode)
        return self

    def _painter_for(self, mode: str) -> _Bars | _Lines | _JsonLines:
        if mode == "json":
            return _JsonLines(self.stream, self._clock)
        if mode == "auto" and self.stream.isatty() and not _is_dumb():
            return _Bars(self.stream)
        return _Lines(self.stream, self._clock, is_silent=mode == "off")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._painter is not None:
            self._painter.close()

    def __call__(self, event: Event) -> None:
        """Show one event."""
        if self._painter is None:
            return
        if isinstance(self._painter, _JsonLines):
            self._painter.show(event)
        elif isinstance(event, ProgressMade):
            self._painter.advance(event.phase, event.done, event.total, event.detail)
        elif isinstance(event, RunStarted):
            self._steps = event.steps
            self._painter.say(f"run {event.run_id[:8]}, attempt {event.attempt}: {event.steps} steps")
        elif isinstance(event, StepDone):
            self._numbers.update(event.metrics)
            self._painter.advance("train", event.step, self._steps or None, self._training())
        elif isinstance(event, PerfMeasured):
            self._numbers.update(event.values)
        elif (text := _sentence(event)) is not None:
            self._painter.say(text)

    def _training(self) -> str:
        shown = [f"loss {self._numbers['loss']:.4f}"] if "loss" in self._numbers else []
        if "lr" in self._numbers:
            shown.append(f"lr {self._numbers['lr']:.2e}")
        if "tokens_per_s" in self._numbers:
            shown.append(f"{self._numbers['tokens_per_s']:,.0f} tok/s")
        return "  ".join(shown)


def _sentence(event: Event) -> str | None:
    match event:
        case RunResumed():
            return (
                event.summary or f"resumed from {event.parent} at step {event.step} ({event.parent_digest})"
            )
        case EvaluationDone():
            values = "  ".join(f"{name} {value:.4f}" for name, value in event.metrics.items())
            return f"step {event.step}  {event.split}: {values}"
        case CheckpointSaved():
            return f"step {event.step}  saved {event.path}"
        case CheckpointRejected():
            return f"warning: passed over {event.path}: {event.reason}"
        case Warned():
            return f"warning[{event.code}]: {event.text}"
        case WriterDisabled():
            return f"warning: writer {event.name} is off from here on: {event.reason}"
        case PluginFailed():
            return f"warning: {event.plugin} failed in {event.hook}: {event.reason}"
    return event.sentence()


def _is_dumb() -> bool:
    import os

    return os.environ.get("TERM") == "dumb"


class _JsonLines:
    """One JSON object per event; progress of a phase at most once per second, and when it is complete."""

    def __init__(self, stream: TextIO, clock: Callable[[], float]) -> None:
        self._stream = stream
        self._clock = clock
        self._shown_at: dict[str, float] = {}
        self._steps = 0

    def show(self, event: Event) -> None:
        if isinstance(event, RunStarted):
            self._steps = event.steps
        if isinstance(event, StepDone) and self._is_early("train", is_last=event.step == self._steps):
            return
        if isinstance(event, ProgressMade) and self._is_early(event.phase, is_last=event.done == event.total):
            return
        print_json("codex-progress/1", {"kind": event.kind, **event.fields()}, stream=self._stream)

    def _is_early(self, phase: str, *, is_last: bool) -> bool:
        now = self._clock()
        if phase in self._shown_at and now - self._shown_at[phase] < JSON_S and not is_last:
            return True
        self._shown_at[phase] = now
        return False

    def close(self) -> None:
        """Nothing is held open."""


class _Lines:
    """One plain line per 30 s or 5 % of a phase; none about progress when it `is_silent`."""

    def __init__(self, stream: TextIO, clock: Callable[[], float], *, is_silent: bool = False) -> None:
        self._stream = stream
        self._clock = clock
        self._is_silent = is_silent
        self._last: dict[str, tuple[float, float]] = {}

    def say(self, text: str) -> None:
        print(text, file=self._stream, flush=True)

    def advance(self, phase: str, done: int, total: int | None, detail: str) -> None:
        if self._is_silent:
            return
        now, share = self._clock(), done / total if total else 0.0
        shown_at, shown_share = self._last.get(phase, (now, 0.0))
        self._last.setdefault(phase, (now, 0.0))
        finished = total is not None and done >= total
        if now - shown_at < QUIET_S and share - shown_share < QUIET_SHARE and not finished:
            return
        self._last[phase] = (now, share)
        count = f"{done}/{total} ({share:.0%})" if total else str(done)
        self.say(f"{PHASES.get(phase, phase)} {count}  {detail}".rstrip())

    def close(self) -> None:
        """Nothing is held open."""


class _Bars:
    """One bar per phase, through rich; a phase whose size is unknown pulses until the next one begins."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress: Progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[count]}", justify="right"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[detail]}"),
            console=Console(file=stream),
        )
        self._tasks: dict[str, Any] = {}
        self._pulsing: set[str] = set()
        self._progress.start()

    def say(self, text: str) -> None:
        self._progress.console.print(text, markup=False, highlight=False)

    def advance(self, phase: str, done: int, total: int | None, detail: str) -> None:
        if phase not in self._tasks:
            self._finish_pulsing()
            name = PHASES.get(phase, phase)
            self._tasks[phase] = self._progress.add_task(name, total=total, count="", detail="")
        count = str(done or "") if total is None else f"{done}/{total}"
        self._progress.update(self._tasks[phase], completed=done, total=total, count=count, detail=detail)
        (self._pulsing.add if total is None else self._pulsing.discard)(phase)

    def _finish_pulsing(self) -> None:
        for phase in self._pulsing:
            self._progress.update(self._tasks[phase], completed=1, total=1, detail="done")
        self._pulsing.clear()

    def close(self) -> None:
        self._finish_pulsing()
        self._progress.stop()

"""A run directory with a journal, and the contexts that plugins get for it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from codex_core.events import (
    CheckpointSaved,
    Event,
    RunFinished,
    RunFinishedContext,
    RunStarted,
    RunStartedContext,
    StepDone,
    Warned,
)
from codex_core.journal import Journal

MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

EVENTS: tuple[Event, ...] = (
    RunStarted(run_id="r1", name="small", attempt=1, lock_digest="sha256:00", steps=2),
    StepDone(step=1, tokens=64, metrics={"loss": 4.25, "lr": 0.001}),
    Warned(code="RUN-014", text="two\nlines and \x1b[2J"),
    StepDone(step=2, tokens=128, metrics={"loss": float("nan")}),
    CheckpointSaved(
        step=2, path="checkpoints/step-00000002", manifest_digest="sha256:11", size_bytes=812_331
    ),
    RunFinished(status="finished", step=2, reason="all steps are done", exit_code=0),
)


def journalled(run_dir: Path, events: tuple[Event, ...] = EVENTS) -> Path:
    """Write the journal of a run with these events."""
    journal = Journal.start(run_dir / "journal", now=lambda: MOMENT)
    journal.append(*((event.kind, event.fields()) for event in events))
    journal.close()
    return run_dir


def started(run_dir: Path, *, attempt: int = 1, **telemetry: Any) -> RunStartedContext:
    """What `codex_run_started` receives."""
    return RunStartedContext(run_id="r1", run_dir=run_dir, attempt=attempt, lock={}, telemetry=telemetry)


def finished(run_dir: Path) -> RunFinishedContext:
    """What `codex_run_finished` receives."""
    return RunFinishedContext(run_id="r1", run_dir=run_dir, status="finished", step=2, telemetry={})

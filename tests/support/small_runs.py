"""Starting, breaking and continuing small runs, and what must be equal of them at the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from codex_core import checkpoints, execute, runs
from codex_core.execute import RunResult
from codex_core.runs import RunDir
from tests.support.small_training import (
    SmallWork,
)


def start(work: SmallWork, *, run_dir: Path | None = None, steps: int = 6, **changes: Any) -> RunResult:
    """Start a run of six steps that saves each second one."""
    return execute.run(
        work.plan(steps=steps), around=work.around(**changes), prepare=work.prepare, run_dir=run_dir
    )


def go_on(work: SmallWork, run: RunDir, *, around: dict[str, Any] | None = None, **how: Any) -> RunResult:
    """Continue a run."""
    return execute.resume(run, around=work.around(**(around or {})), open_data=work.open_data, **how)


def the_run(work: SmallWork) -> RunDir:
    """The one run of the project."""
    (run,) = runs.all_runs(work.places)
    return run


def fail_at(work: SmallWork, step: int, error: BaseException) -> None:
    """Let the trainer raise in a step, once."""

    def on_step(now: int) -> None:
        if now == step:
            work.on_step = None
            raise error

    work.on_step = on_step


def essence(run: RunDir) -> dict[str, bytes]:
    """What must be equal for broken and unbroken runs: metric views, and payload and state of the newest checkpoint."""
    files = [run.path / "metrics.ndjson", run.path / "metrics.csv"]
    newest = checkpoints.newest(run.checkpoints).path
    for part in ("model", "trainer", "tokenizer", "state.json"):
        files += [newest / part] if part.endswith(".json") else sorted(newest.joinpath(part).rglob("*.*"))
    return {str(path.relative_to(run.path)): path.read_bytes() for path in files}

"""The cells of a sweep trained one after the other, in folders of their own below the sweep's.

Decisions: a cell's folder is named by its configuration's hash, so a sweep that is repeated, reordered or widened
skips what is finished and resumes what is not; a cell that fails is told and does not stop the others, a signal
does; what the table says is read from the runs, never remembered.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import click

from codex_core import plan
from codex_core.canonical import readable_json
from codex_core.cli import work
from codex_core.cli.config import unwritable, written
from codex_core.cli.output import print_json, say, table
from codex_core.cli.session import Session
from codex_core.cli.sweep import Checked
from codex_core.errors import CodexError, ExitCode, InputError
from codex_core.execute import RunResult
from codex_core.lock import Choice, Plan
from codex_core.planning.structuring import options_from
from codex_core.running.views import ROW_KEYS, TRAIN
from codex_core.runs import RunDir


@attrs.frozen(kw_only=True)
class Outcome:
    """How a cell stands: `status` of its run, the numbers that its metric rows hold, and `error` if it has one."""

    cell: Checked
    path: Path
    status: str = "waiting"
    loss: float | None = None
    metric: str | None = None
    best: float | None = None
    last: float | None = None
    error: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """The outcome as plain values."""
        shown = attrs.asdict(self, recurse=False)
        return {**shown, "cell": self.cell.cell.number, "path": self.path.name} | self.cell.as_dict()


def run_all(session: Session, cells: Sequence[Checked], *, folder: Path, as_json: bool) -> int:
    """Train every cell that is not finished and print the table; exit 1 when a cell failed, 130 after a signal."""
    for one in cells:
        plan.require_usable(one.plan)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(folder, error.strerror or str(error), fix="name another folder with --out") from None
    outcomes = {one.name: _outcome(session, one, folder / one.name) for one in cells}
    code = ExitCode.OK
    for one in cells:
        if session.flags.verbosity >= 0:
            say(f"cell {one.cell.number} of {len(cells)}: {one.cell.label}")
        outcomes[one.name], stopped = _trained(session, one, folder / one.name)
        _write_table(folder, list(outcomes.values()))
        if stopped:
            code = stopped
            say(f"interrupted; the same command continues with cell {one.cell.number}")
            break
        if outcomes[one.name].status not in ("finished", "stopped"):
            code = ExitCode.NO
    _show(list(outcomes.values()), folder=folder, as_json=as_json)
    return code


def _trained(session: Session, one: Checked, path: Path) -> tuple[Outcome, ExitCode | None]:
    """The outcome of a cell after starting, resuming or skipping it, and the exit code of a signal."""
    try:
        result = _start_or_resume(session, one, path)
    except CodexError as error:
        say(str(error))
        return attrs.evolve(
            _outcome(session, one, path), status="failed", error=f"{error.code}: {error.what}"
        ), None
    outcome = _outcome(session, one, path)
    was_stopped = result is not None and result.status == "interrupted"
    return outcome, ExitCode(result.exit_code) if result is not None and was_stopped else None


def _start_or_resume(session: Session, one: Checked, path: Path) -> RunResult | None:
    """Train the cell, or go on with it; None when it is finished already."""
    if not path.exists():
        return work.start(session, one.plan, run_dir=path)
    run = RunDir.open(path)
    if not (path / "lock.json").exists():
        with run.claim():  # raises when another process is preparing it
            say(f"{path.name} ended before its first step: starting it again")
        run.discard()
        return work.start(session, one.plan, run_dir=path)
    held = run.lock().config_hash
    if held != one.plan.config_hash:
        raise InputError(
            code="CFG-018",
            what="the folder of this cell holds a run of another configuration",
            where=str(path),
            why=f"it is {held}, the cell is {one.plan.config_hash}",
            fix="name another folder with --out",
        )
    if run.status().is_over:
        say(f"{path.name} is {run.status().name} already")
        return None
    say(f"resuming {path.name}")
    return work.resume(session, run, checkpoint=None, asked=None)


def _outcome(session: Session, one: Checked, path: Path) -> Outcome:
    """What a cell's run directory says; a cell without one has nothing but its name."""
    if not (path / "run.json").exists():
        return Outcome(cell=one, path=path)
    try:
        status = RunDir(path).status().name
    except CodexError as error:
        return Outcome(cell=one, path=path, status="failed", error=f"{error.code}: {error.what}")
    rows = _rows(path)
    losses = [row["loss"] for row in rows if row["split"] == TRAIN and isinstance(row.get("loss"), float)]
    evaluated = [row for row in rows if row["split"] == one.plan.config["evaluation"]["split"] != TRAIN]
    names = [name for row in evaluated for name in row if name not in ROW_KEYS]
    choice = one.plan.choices.get("evaluation.metrics[0]")
    name = choice.name if choice is not None and choice.name in names else next(iter(names), None)
    values = [row[name] for row in evaluated if isinstance(row.get(name), (int, float))] if name else []
    is_higher_better = bool(values) and choice is not None and _higher_is_better(session, choice, one.plan)
    return Outcome(
        cell=one,
        path=path,
        status=status,
        loss=losses[-1] if losses else None,
        metric=name,
        best=(max if is_higher_better else min)(values) if values else None,
        last=values[-1] if values else None,
    )


def _higher_is_better(session: Session, choice: Choice, asked: Plan) -> bool:
    """The direction that the metric itself declares."""
    row = session.registry.find("metrics", choice.id or choice.name)
    cls = session.registry.options_class(row)
    options = None if cls is None else options_from(cls, choice.options, where=choice.section)
    return bool(session.registry.load(row)(options).higher_is_better)


def _rows(path: Path) -> list[dict[str, Any]]:
    """The metric rows of a run; none while it has not written its view."""
    view = path / "metrics.ndjson"
    return (
        [json.loads(line) for line in view.read_text(encoding="utf-8").splitlines()] if view.exists() else []
    )


def _write_table(folder: Path, outcomes: Sequence[Outcome]) -> None:
    values = {"schema": "codex-sweep/1", "cells": [outcome.as_dict() for outcome in outcomes]}
    written(folder / "sweep.json", readable_json(values), fix="name another folder with --out")


def _show(outcomes: Sequence[Outcome], *, folder: Path, as_json: bool) -> None:
    if as_json:
        print_json(
            "codex-sweep/1", {"folder": str(folder), "cells": [outcome.as_dict() for outcome in outcomes]}
        )
        return
    metric = next((outcome.metric for outcome in outcomes if outcome.metric), "metric")
    headings = ["cell", "overrides", "status", "loss", f"best {metric}", f"last {metric}", "run"]
    rows = [
        [one.cell.cell.number, one.cell.cell.label, one.status, one.loss, one.best, one.last, one.path.name]
        for one in outcomes
    ]
    click.echo(table(headings, rows))
    say(f"runs are in {folder}")

"""`codex config sweep`: one configuration, many cells; shown as commands, JSON or files, or trained.

Decisions: a cell is checked as `codex train` would check it, before anything is written or run; its identity is the
hash of its configuration, so two cells that mean the same are refused, and a finished cell is recognised whatever
its place in the sweep.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import click

from codex_core import config, plan
from codex_core.cli.config import unwritable, written
from codex_core.cli.output import print_json, say
from codex_core.cli.session import Session
from codex_core.cli.sweep_cells import Cell, cells_of
from codex_core.errors import CodexError, ExitCode, UsageError
from codex_core.lock import Plan
from codex_core.planning import yamlout
from codex_core.planning.structuring import placed, together


@attrs.frozen(kw_only=True)
class Checked:
    """A cell with its plan and the words that train it alone."""

    cell: Cell
    plan: Plan
    command: str

    @property
    def name(self) -> str:
        """What its file and folder are called: the start of its configuration's hash."""
        return self.plan.config_hash.partition(":")[2][:12]

    def as_dict(self) -> dict[str, Any]:
        """The cell as plain values."""
        return {
            "number": self.cell.number,
            "overrides": list(self.cell.overrides),
            "seed": self.cell.seed,
            "config_hash": self.plan.config_hash,
            "command": self.command,
        }


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("overrides", nargs=-1)
@click.option("--grid", "grids", multiple=True, metavar="KEY=A,B", help="Each value; axes multiply.")
@click.option("--list", "lists", multiple=True, metavar="'KEY=A ...'", help="Overrides of one point; repeat.")
@click.option(
    "--random", "randoms", multiple=True, metavar="KEY=LOW..HIGH:N", help="N points; :log for magnitudes."
)
@click.option("--seed-random", "random_seed", type=click.IntRange(min=0), default=0, help="Seed of --random.")
@click.option("--seeds", metavar="1,2", help="Each cell with each of these values of run.seed.")
@click.option("--format", "form", type=click.Choice(["commands", "json", "files"]), default="commands")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the files, or of the runs.")
@click.option("--run", "is_run", is_flag=True, help="Train the cells that are not finished yet.")
@click.option("--bypass-safety", metavar="REASON", help="Switch safety off, on the record.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def sweep(
    session: Session,
    file: Path,
    overrides: tuple[str, ...],
    grids: tuple[str, ...],
    lists: tuple[str, ...],
    randoms: tuple[str, ...],
    random_seed: int,
    seeds: str | None,
    form: str,
    out: Path | None,
    is_run: bool,
    bypass_safety: str | None,
    as_json: bool,
) -> int:
    """Vary options of FILE: print a command per cell, write a file per cell, or train all cells.

    \b
    Examples:
      codex config sweep run.yaml --grid model.order=3,4 --seeds 1,2
      codex config sweep run.yaml --list 'model.order=3 data.seq_len=64' --list model.order=4 --json
      codex config sweep run.yaml --random model.order=2..6:3 --seed-random 7 --format files --out cells
      codex config sweep run.yaml --grid model.order=3,4 --run --out sweep
    """
    form = "json" if as_json else form
    if form == "files" and (out is None or is_run):
        raise UsageError(
            code="CFG-017",
            what="--format files needs --out DIR, and does not train",
            fix="--format files --out DIR",
        )
    cells = cells_of(grids=grids, lists=lists, randoms=randoms, random_seed=random_seed, seeds=seeds)
    checked = check(session, file, overrides, cells, bypass_safety=bypass_safety, is_run=is_run)
    if is_run:
        from codex_core.cli.sweep_run import run_all

        folder = out or session.places.runs / f"sweep_{file.stem}"
        return run_all(session, checked, folder=folder, as_json=form == "json")
    if form == "json":
        print_json("codex-sweep/1", {"file": str(file), "cells": [one.as_dict() for one in checked]})
    elif form == "files":
        assert out is not None
        _write_files(checked, out)
    else:
        for one in checked:
            click.echo(f"{one.command}  # {one.plan.config_hash}")
    return ExitCode.OK


def check(
    session: Session,
    file: Path,
    overrides: Sequence[str],
    cells: Sequence[Cell],
    *,
    bypass_safety: str | None,
    is_run: bool,
) -> list[Checked]:
    """All cells with their plans; raises the mistakes of all of them together, each once."""
    checked: list[Checked] = []
    mistakes: dict[str, CodexError] = {}
    for cell in cells:
        words = [*overrides, *cell.overrides]
        try:
            if cell is cells[0]:
                loaded = session.configuration(file, words, seed=cell.seed)
            else:
                loaded = config.load(file, words, registry=session.registry, seed=cell.seed)
            # Whether safety may be off is asked when something is trained, as by `config validate`.
            is_off = loaded.safety is not None and loaded.safety.name == "none"
            reason = bypass_safety if is_run or not is_off else bypass_safety or "sweep"
            made = plan.make(loaded, session.registry, bypass_reason=reason, environ=os.environ)
        except CodexError as error:
            for one in (placed(error, error.where, related=()), *error.related):
                mistakes.setdefault(str(one), one)
            continue
        checked.append(Checked(cell=cell, plan=made, command=_command(file, overrides, cell, bypass_safety)))
    if mistakes:
        raise together(list(mistakes.values()))
    _require_distinct(checked)
    return checked


def _command(file: Path, overrides: Sequence[str], cell: Cell, bypass_safety: str | None) -> str:
    words = ["codex", "train", str(file), *overrides, *cell.overrides]
    words += [] if cell.seed is None else ["--seed", str(cell.seed)]
    words += [] if bypass_safety is None else ["--bypass-safety", bypass_safety]
    return shlex.join(words)


def _require_distinct(checked: Sequence[Checked]) -> None:
    """Two cells of one meaning would train the same thing twice under two names."""
    seen: dict[str, Checked] = {}
    for one in checked:
        other = seen.setdefault(one.plan.config_hash, one)
        if other is not one:
            raise UsageError(
                code="CFG-017",
                what=f"cells {other.cell.number} and {one.cell.number} of the sweep mean the same",
                where="command line",
                why=f"{other.cell.label or 'no override'} and {one.cell.label} give one configuration",
                fix="leave one of them out",
            )


def _write_files(checked: Sequence[Checked], folder: Path) -> None:
    """One resolved configuration per cell; a file that is there already must hold the same."""
    width = len(str(len(checked)))
    paths = {folder / f"{one.cell.number:0{width}}_{one.name}.yaml": one for one in checked}
    texts = {path: _file_text(one, len(checked)) for path, one in paths.items()}
    fix = "name another folder with --out"
    for path, text in texts.items():
        if path.exists() and path.read_text(encoding="utf-8") != text:
            raise unwritable(path, "it exists and holds something else", fix=fix)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(folder, error.strerror or str(error), fix=fix) from None
    for path, text in texts.items():
        written(path, text, fix=fix)
        click.echo(path)
    say(f"train one with: codex train {next(iter(texts))}")


def _file_text(one: Checked, num_cells: int) -> str:
    label = " ".join(one.cell.label.split())  # a comment ends with its line
    head = f"# Cell {one.cell.number} of {num_cells}: {label}\n# {one.plan.config_hash}\n"
    return head + yamlout.write(one.plan.config)

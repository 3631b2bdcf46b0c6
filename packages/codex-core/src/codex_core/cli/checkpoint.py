"""`codex checkpoint`: what is saved, what is in it, and whether it is whole; the group of its other commands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from codex_core import checkpoints, runs
from codex_core.checkpoints import Rule, Upkeep
from codex_core.cli.checkpoint_diff import diff
from codex_core.cli.checkpoint_export import export
from codex_core.cli.checkpoint_lineage import lineage
from codex_core.cli.checkpoint_prune import pin, prune, unpin
from codex_core.cli.models import find_checkpoint
from codex_core.cli.output import human_bytes, print_json, say, table
from codex_core.cli.session import Session
from codex_core.errors import ArtefactError
from codex_core.running import pointers


@click.group()
def checkpoint() -> None:
    """List, verify, compare, prune and export checkpoints.

    \b
    Examples:
      codex checkpoint list @last
      codex checkpoint inspect @last
      codex checkpoint verify runs/RUN/checkpoints/step-00000040
      codex checkpoint lineage @last
    """


for command in (diff, prune, pin, unpin, export, lineage):
    checkpoint.add_command(command)


@checkpoint.command("list")
@click.argument("run", default="@last")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def list_command(session: Session, run: str, as_json: bool) -> None:
    """List the checkpoints of RUN, newest first, each with whether it verifies, and what keeps it.

    \b
    Examples:
      codex checkpoint list
      codex checkpoint list @last --json
    """
    root = runs.find(run, session.places).checkpoints
    rows = [_row(path) for path in checkpoints.committed(root).values()]
    quarantined = [str(path) for path in Upkeep(root=root, rule=Rule()).quarantined()]
    if as_json:
        facts = {"run": str(root.parent), "checkpoints": rows, "quarantine": quarantined}
        print_json("codex-checkpoint-list/1", facts)
    elif rows:
        shown = [
            [
                row["step"],
                row["state"],
                ", ".join(row["kept_as"]),
                human_bytes(row["bytes"] or 0),
                row["path"],
            ]
            for row in rows
        ]
        click.echo(table(["step", "state", "kept as", "size", "path"], shown))
    else:
        click.echo("no checkpoints yet")
    for path in quarantined if not as_json else ():
        say(f"in quarantine: {path}")


def _row(path: Path) -> dict[str, Any]:
    step = int(path.name.removeprefix("step-"))
    told = {"step": step, "path": str(path), "kept_as": _kept_as(path, step)}
    try:
        found = checkpoints.verify(path)
    except ArtefactError as error:
        return {**told, "state": f"corrupt: {error.what}", "bytes": None}
    return {**told, "state": "ok", "bytes": found.size_bytes}


def _kept_as(path: Path, step: int) -> list[str]:
    """What points at a checkpoint: the pointers, and a pin."""
    names = [pointer.stem for pointer in sorted(path.parent.glob("*.json")) if _points_at(pointer, path)]
    return names + (["pinned"] if checkpoints.pin_path(path.parent, step).exists() else [])


def _points_at(pointer: Path, path: Path) -> bool:
    try:
        told = pointers.read(pointer)
    except (OSError, ValueError):  # the loader tells of pointers that cannot be read
        return False
    return told is not None and told["path"] == path.name


@checkpoint.command()
@click.argument("reference", metavar="REF")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def inspect(session: Session, reference: str, as_json: bool) -> None:
    """Print everything that a checkpoint says of itself.

    \b
    Examples:
      codex checkpoint inspect @last
    """
    facts = checkpoints.inspect(find_checkpoint(session, reference).path)
    if as_json:
        print_json("codex-checkpoint-inspect/1", facts)
        return
    for name, value in facts.items():
        if name == "files":
            shown = [[file["path"], human_bytes(file["bytes"]), file["digest"][:23]] for file in value]
            click.echo(table(["file", "size", "digest"], shown))
        elif isinstance(value, dict):
            click.echo(f"{name}:")
            for key, held in value.items():
                click.echo(f"  {key}: {held}")
        else:
            click.echo(f"{name}: {value}")


@checkpoint.command()
@click.argument("reference", metavar="REF")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def verify(session: Session, reference: str, as_json: bool) -> None:
    """Re-read every file of a checkpoint; exit 7 names the first that differs.

    \b
    Examples:
      codex checkpoint verify @last
      codex checkpoint verify runs/RUN/checkpoints/step-00000040
    """
    found = find_checkpoint(session, reference)
    if as_json:
        print_json(
            "codex-checkpoint-verify/1", {"path": str(found.path), "step": found.step, "digest": found.digest}
        )
    else:
        click.echo(f"ok: {found.path.name}, {len(found.manifest['files'])} files, manifest {found.digest}")

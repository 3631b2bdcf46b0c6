"""`codex checkpoint`: what is saved, what is in it, and whether it is whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from codex_core import checkpoints, runs
from codex_core.cli.models import find_checkpoint
from codex_core.cli.output import human_bytes, print_json, table
from codex_core.cli.session import Session
from codex_core.errors import ArtefactError


@click.group()
def checkpoint() -> None:
    """List, inspect and verify checkpoints.

    \b
    Examples:
      codex checkpoint list @last
      codex checkpoint inspect @last
      codex checkpoint verify runs/RUN/checkpoints/step-00000040
    """


@checkpoint.command("list")
@click.argument("run", default="@last")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def list_command(session: Session, run: str, as_json: bool) -> None:
    """List the checkpoints of RUN, newest first, each with whether it verifies.

    \b
    Examples:
      codex checkpoint list
      codex checkpoint list @last --json
    """
    root = runs.find(run, session.places).checkpoints
    rows = [_row(path) for path in checkpoints.committed(root).values()]
    if as_json:
        print_json("codex-checkpoint-list/1", {"run": str(root.parent), "checkpoints": rows})
    elif rows:
        shown = [[row["step"], row["state"], human_bytes(row["bytes"] or 0), row["path"]] for row in rows]
        click.echo(table(["step", "state", "size", "path"], shown))
    else:
        click.echo("no checkpoints yet")


def _row(path: Path) -> dict[str, Any]:
    try:
        found = checkpoints.verify(path)
    except ArtefactError as error:
        return {
            "step": int(path.name.removeprefix("step-")),
            "state": f"corrupt: {error.what}",
            "bytes": None,
            "path": str(path),
        }
    return {"step": found.step, "state": "ok", "bytes": found.size_bytes, "path": str(path)}


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

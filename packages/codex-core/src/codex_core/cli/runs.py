"""`codex runs`: which runs there are, how they stand, and what they left."""

from __future__ import annotations

from typing import Any

import click

from codex_core import runs as run_folders
from codex_core.cli.output import print_json, table
from codex_core.cli.runs_verify import verify
from codex_core.cli.session import Session
from codex_core.runs import RunDir


@click.group()
def runs() -> None:
    """List, show and verify runs.

    \b
    Examples:
      codex runs list
      codex runs show @last
      codex runs verify @last
    """


runs.add_command(verify)


@runs.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def list_command(session: Session, as_json: bool) -> None:
    """List the project's runs, oldest first.

    \b
    Examples:
      codex runs list
      codex runs list --json
    """
    facts = [_facts(run) for run in run_folders.all_runs(session.places)]
    if as_json:
        print_json("codex-runs/1", {"runs": facts})
    elif facts:
        shown = [[fact["id"][:8], fact["name"], fact["status"], fact["step"], fact["path"]] for fact in facts]
        click.echo(table(["id", "name", "status", "step", "path"], shown))
    else:
        click.echo(f"no runs under {session.places.runs}")


@runs.command()
@click.argument("reference", metavar="REF", default="@last")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def show(session: Session, reference: str, as_json: bool) -> None:
    """Show one run: status with its cause, attempts, newest checkpoint, configuration and lock digests.

    \b
    Examples:
      codex runs show
      codex runs show @last --json
    """
    facts = _facts(run_folders.find(reference, session.places))
    if as_json:
        print_json("codex-run/1", facts)
        return
    for name, value in facts.items():
        click.echo(f"{name}: {value}")


def _facts(run: RunDir) -> dict[str, Any]:
    record, status = run.record(), run.status()
    return {**record, "status": status.name, "reason": status.reason, "path": str(run.path)}

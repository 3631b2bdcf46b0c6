"""`codex checkpoint lineage`: the checkpoints that a checkpoint came from."""

from __future__ import annotations

import attrs
import click

from codex_core.cli.models import find_checkpoint
from codex_core.cli.output import print_json, say, table
from codex_core.cli.session import Session
from codex_core.errors import ExitCode
from codex_core.running.lineage import lineage as lineage_of


@click.command()
@click.argument("reference", metavar="REF")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def lineage(session: Session, reference: str, as_json: bool) -> int:
    """List the parents of a checkpoint back to step 0, across attempts, with their digests.

    \b
    Examples:
      codex checkpoint lineage @last

    Parents that retention has removed are named from the journal, as `gone`. Exit 1: the way back cannot be seen
    from here, or manifest and journal disagree.
    """
    found = find_checkpoint(session, reference)
    told = lineage_of(found.path)
    if as_json:
        ancestors = [attrs.asdict(one) for one in told.ancestors]
        facts = {"path": str(found.path), "complete": told.problem is None, "problem": told.problem}
        print_json("codex-checkpoint-lineage/1", {**facts, "ancestors": ancestors})
    else:
        rows = [[one.step, one.attempt, one.state, one.saved, one.digest] for one in told.ancestors]
        click.echo(table(["step", "attempt", "state", "saved", "manifest"], rows))
        click.echo("step 0: the run began here" if told.problem is None else "the way back ends here")
    if told.problem is not None:
        say(f"warning: {told.problem}")
    return int(ExitCode.OK if told.problem is None else ExitCode.NO)

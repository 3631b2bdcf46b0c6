"""`codex checkpoint prune|pin|unpin`: what stays of a run that nobody is working on."""

from __future__ import annotations

from pathlib import Path

import click

from codex_core import checkpoints, runs
from codex_core.checkpoints import Rule, Upkeep
from codex_core.cli.models import find_checkpoint
from codex_core.cli.output import print_json, say
from codex_core.cli.session import Session
from codex_core.errors import UsageError
from codex_core.events import Event, Warned
from codex_core.running import binding, keeping
from codex_core.running.checkpoint_files import step_of
from codex_core.running.locked import built, loader
from codex_core.runs import RunDir


@click.command()
@click.argument("run", default="@last")
@click.option("--dry-run", is_flag=True, help="Say what would go, and remove nothing.")
@click.option("--quarantine", is_flag=True, help="Remove what lies in quarantine, too.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def prune(session: Session, run: str, dry_run: bool, quarantine: bool, as_json: bool) -> None:
    """Remove the checkpoints of RUN that its own retention lets go; those that somebody pinned stay.

    \b
    Examples:
      codex checkpoint prune @last --dry-run
      codex checkpoint prune @last

    The rule is that of the run: keep_last, keep_best, keep_every and keep_for of its section `checkpoint`. Nothing
    goes before the newest checkpoint has verified. A run that a process works on is refused with exit code 7.
    """
    folder = runs.find(run, session.places)
    with folder.claim():
        newest = checkpoints.newest(folder.checkpoints, emit=_tell)
        upkeep = Upkeep(root=folder.checkpoints, rule=_rule(session, folder))
        going = [path for path in upkeep.going() if path != newest.path]
        going += upkeep.quarantined() if quarantine else []
        if not dry_run:
            upkeep.move_pointers(newest)
            upkeep.remove(going)
            binding.seal_pointers(folder)
            binding.seal_pointers(folder)
    for event in upkeep.taken_events():
        _tell(event)
    kept = [path.name for path in checkpoints.committed(folder.checkpoints).values() if path not in going]
    if as_json:
        facts = {"run": str(folder.path), "dry_run": dry_run, "pruned": [str(path) for path in going]}
        print_json("codex-checkpoint-prune/1", {**facts, "kept": kept})
        return
    for path in going:
        click.echo(f"{'would go' if dry_run else 'removed'}: {path.relative_to(folder.path)}")
    click.echo(f"{len(going)} {'would go' if dry_run else 'removed'}, {len(kept)} stay: {', '.join(kept)}")


@click.command()
@click.argument("reference", metavar="REF")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def pin(session: Session, reference: str, as_json: bool) -> None:
    """Let a checkpoint stay, whatever retention says.

    \b
    Examples:
      codex checkpoint pin runs/RUN/checkpoints/step-00000040
      codex checkpoint pin @last
    """
    marker = _marker(session, reference)
    marker.touch()
    _answer(marker, is_pinned=True, as_json=as_json)


@click.command()
@click.argument("reference", metavar="REF")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def unpin(session: Session, reference: str, as_json: bool) -> None:
    """Let retention decide again.

    \b
    Examples:
      codex checkpoint unpin runs/RUN/checkpoints/step-00000040
    """
    marker = _marker(session, reference)
    marker.unlink(missing_ok=True)
    _answer(marker, is_pinned=False, as_json=as_json)


def _marker(session: Session, reference: str) -> Path:
    found = find_checkpoint(session, reference)
    if step_of(found.path) is None:
        raise UsageError(
            code="CKP-010",
            what=f"{found.path} is not among the checkpoints of a run, so nothing would ever prune it",
            fix="codex checkpoint list RUN",
        )
    return checkpoints.pin_path(found.path.parent, found.step)


def _answer(marker: Path, *, is_pinned: bool, as_json: bool) -> None:
    path = marker.with_suffix("")
    if as_json:
        print_json("codex-checkpoint-pin/1", {"path": str(path), "pinned": is_pinned})
    else:
        click.echo(f"{path.name} {'is pinned and stays' if is_pinned else 'is not pinned'}")


def _rule(session: Session, folder: RunDir) -> Rule:
    lock = folder.lock()
    metrics = [metric for _, metric in built(loader(lock, session.registry), lock, "evaluation.metrics")]
    return keeping.rule_of(lock, metrics=metrics)


def _tell(event: Event) -> None:
    if isinstance(event, Warned):
        say(f"warning: {event.text}")
    elif (reason := getattr(event, "reason", None)) is not None:
        say(f"warning: passed over {getattr(event, 'path', '')}: {reason}")

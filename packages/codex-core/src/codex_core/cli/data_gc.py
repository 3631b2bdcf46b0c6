"""`codex data gc`: remove prepared data that nothing refers to."""

from __future__ import annotations

import time
from pathlib import Path

import attrs
import click

from codex_core import runs
from codex_core.cli import work
from codex_core.cli.output import human_bytes, print_json, table
from codex_core.cli.session import Session
from codex_core.data import housekeeping


@click.command()
@click.option("--dry-run", is_flag=True, help="Show what would be removed, remove nothing.")
@click.option(
    "--older-than",
    type=click.FloatRange(min=0),
    default=60,
    show_default=True,
    metavar="MINUTES",
    help="Keep what changed since then.",
)
@click.option(
    "--store",
    type=click.Path(path_type=Path, file_okay=False),
    help="The store to tidy; by default CODEX_STORE, else the project's.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def gc(session: Session, dry_run: bool, older_than: float, store: Path | None, as_json: bool) -> None:
    """Remove prepared data that no run of this project and no unsealed chunk refers to.

    \b
    Examples:
      codex data gc --dry-run
      codex data gc --older-than 1440

    Runs of other projects that use the same store are not known here: look at `--dry-run` first.
    """
    place = work.places(session, store).store
    entries = housekeeping.survey(
        place, references=_locks(session), now_s=time.time(), older_than_s=60 * older_than
    )
    freed = 0 if dry_run else housekeeping.remove(entries, store=place)
    unused = [entry for entry in entries if entry.kept is None]
    if as_json:
        shown = [attrs.asdict(entry) | {"path": str(entry.path)} for entry in entries]
        print_json(
            "codex-data-gc/1",
            {"store": str(place), "entries": shown, "freed_bytes": freed, "dry_run": dry_run},
        )
        return
    if entries:
        rows = [
            [e.kind, e.name, human_bytes(e.size_bytes), e.kept or "nothing refers to it"] for e in entries
        ]
        click.echo(table(["kind", "name", "size", "why"], rows))
    size = human_bytes(sum(entry.size_bytes for entry in unused))
    verb = "would be removed" if dry_run else "removed"
    click.echo(f"{len(unused)} of {len(entries)} folders, {size}: {verb}")


def _locks(session: Session) -> list[bytes]:
    """What the project's runs hold that may name a prepared set, readable as a run or not."""
    found = []
    for folder in runs.folders(session.places):
        for name in ("lock.json", "data.json"):
            path = folder / name
            if path.is_file():
                found.append(path.read_bytes())
    return found

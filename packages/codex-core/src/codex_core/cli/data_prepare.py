"""`codex data prepare`: read, check, split, tokenize and pack."""

from __future__ import annotations

from pathlib import Path

import click

from codex_core.cli import work
from codex_core.cli.data_inspect import show
from codex_core.cli.session import Session


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("overrides", nargs=-1)
@click.option("--bypass-safety", metavar="REASON", help="Switch safety off, on the record.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def prepare(
    session: Session, file: Path, overrides: tuple[str, ...], bypass_safety: str | None, as_json: bool
) -> None:
    """Read, check, split, tokenize and pack what the configuration FILE names; a second call finds it done.

    \b
    Examples:
      codex data prepare run.yaml
      codex data prepare run.yaml data.seq_len=128 --json
    """
    asked = work.make_plan(session, file, overrides, bypass_safety=bypass_safety)
    with work.surroundings(session) as around:
        prepared = work.prepare(session, asked, around.on_event)
    show(prepared, as_json=as_json)

"""`codex data`: prepare training data, and see what a prepared set holds."""

from __future__ import annotations

from pathlib import Path

import click

from codex_core.cli import work
from codex_core.cli.output import print_json
from codex_core.cli.session import Session
from codex_core.contracts import PreparedData
from codex_core.data.prepare import open_prepared


@click.group()
def data() -> None:
    """Prepare and inspect training data.

    \b
    Examples:
      codex data prepare run.yaml
      codex data inspect .codex/store/tokens/KEY
    """


@data.command()
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
    _print(prepared, as_json=as_json)


@data.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def inspect(session: Session, path: Path, as_json: bool) -> None:
    """Verify every byte of a prepared set and tell what it holds.

    \b
    Examples:
      codex data inspect .codex/store/tokens/KEY
    """
    _print(open_prepared(path), as_json=as_json)


def _print(prepared: PreparedData, *, as_json: bool) -> None:
    if as_json:
        print_json("codex-data/1", {"path": str(prepared.path), "manifest": dict(prepared.manifest)})
        return
    click.echo(prepared.summary())
    click.echo(f"path       {prepared.path}")

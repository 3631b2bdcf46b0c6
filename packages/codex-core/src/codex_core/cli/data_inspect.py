"""`codex data inspect`: what a prepared set holds."""

from __future__ import annotations

from pathlib import Path

import click

from codex_core.cli.output import print_json
from codex_core.cli.session import Session
from codex_core.contracts import PreparedData
from codex_core.data.prepare import open_prepared


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def inspect(session: Session, path: Path, as_json: bool) -> None:
    """Verify every byte of a prepared set and tell what it holds.

    \b
    Examples:
      codex data inspect .codex/store/tokens/KEY
    """
    show(open_prepared(path), as_json=as_json)


def show(prepared: PreparedData, *, as_json: bool) -> None:
    """Print a prepared set: its manifest as one JSON object, or a few readable lines."""
    if as_json:
        print_json("codex-data/1", {"path": str(prepared.path), "manifest": dict(prepared.manifest)})
        return
    click.echo(prepared.summary())
    click.echo(f"path       {prepared.path}")

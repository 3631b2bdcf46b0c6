"""`codex data seal`: put the chunks of several machines together."""

from __future__ import annotations

from pathlib import Path

import click

from codex_core.cli import work
from codex_core.cli.data_inspect import show
from codex_core.cli.data_prepare import reading_as
from codex_core.cli.session import Session
from codex_core.data import chunks


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("overrides", nargs=-1)
@click.option(
    "--workers", type=click.IntRange(min=1), metavar="N", help="Processes; by default as many as processors."
)
@click.option(
    "--store",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the chunks are; by default CODEX_STORE, else the project's.",
)
@click.option(
    "--on-error", type=click.Choice(["fail", "skip"]), help="As given to `codex data prepare --chunk`."
)
@click.option(
    "--max-skip", type=click.IntRange(min=0), metavar="N", help="As given to `codex data prepare --chunk`."
)
@click.option("--bypass-safety", metavar="REASON", help="Switch safety off, on the record.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def seal(
    session: Session,
    file: Path,
    overrides: tuple[str, ...],
    workers: int | None,
    store: Path | None,
    on_error: str | None,
    max_skip: int | None,
    bypass_safety: str | None,
    as_json: bool,
) -> None:
    """Check that all chunks of FILE are there and whole, and make one prepared set of them.

    \b
    Examples:
      codex data seal run.yaml  after `codex data prepare run.yaml --chunk K/N` has ended for every K

    The set is byte for byte the one that `codex data prepare` makes on one machine.
    """
    asked = work.make_plan(session, file, overrides, bypass_safety=bypass_safety)
    asked = reading_as(asked, on_error=on_error, max_skip=max_skip)
    with work.surroundings(session) as around:
        prepared = chunks.seal(
            asked,
            registry=session.registry,
            places=work.places(session, store),
            on_event=around.on_event,
            workers=work.processes(workers),
        )
    show(prepared, as_json=as_json)

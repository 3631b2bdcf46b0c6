"""`codex data prepare`: read, check, split, tokenize and pack."""

from __future__ import annotations

import re
from pathlib import Path

import attrs
import click

from codex_core.cli import work
from codex_core.cli.data_inspect import show
from codex_core.cli.output import print_json, say
from codex_core.cli.session import Session
from codex_core.data import chunks
from codex_core.errors import UsageError
from codex_core.lock import Plan


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("overrides", nargs=-1)
@click.option(
    "--chunk", metavar="K/N", help="Do every N-th part from the K-th on; `codex data seal` ends it."
)
@click.option(
    "--workers", type=click.IntRange(min=1), metavar="N", help="Processes; by default as many as processors."
)
@click.option(
    "--store",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where prepared data is kept; by default CODEX_STORE, else the project's.",
)
@click.option(
    "--on-error",
    type=click.Choice(["fail", "skip"]),
    help="What a row does that cannot be read, for all sources of this call.",
)
@click.option("--max-skip", type=click.IntRange(min=0), metavar="N", help="Most rows that may be skipped.")
@click.option("--bypass-safety", metavar="REASON", help="Switch safety off, on the record.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def prepare(
    session: Session,
    file: Path,
    overrides: tuple[str, ...],
    chunk: str | None,
    workers: int | None,
    store: Path | None,
    on_error: str | None,
    max_skip: int | None,
    bypass_safety: str | None,
    as_json: bool,
) -> None:
    """Read, check, split, tokenize and pack what the configuration FILE names; a second call finds it done.

    \b
    Examples:
      codex data prepare run.yaml
      codex data prepare run.yaml data.seq_len=128 --json
      codex data prepare run.yaml --workers 2
      codex data prepare run.yaml --chunk 1/2  on one of two machines that share a store
    """
    asked = work.make_plan(session, file, overrides, bypass_safety=bypass_safety)
    asked = reading_as(asked, on_error=on_error, max_skip=max_skip)
    if chunk is None:
        with work.surroundings(session) as around:
            prepared = work.prepare(session, asked, around.on_event, workers=workers, store=store)
        if prepared.was_there:
            say("found in the store: nothing was prepared anew")
        show(prepared, as_json=as_json)
        return
    number, of = numbers_of(chunk)
    with work.surroundings(session) as around:
        done = chunks.prepare_chunk(
            asked,
            number,
            of,
            registry=session.registry,
            places=work.places(session, store),
            on_event=around.on_event,
            workers=work.processes(workers),
        )
    _tell(done, as_json=as_json)


def numbers_of(chunk: str) -> tuple[int, int]:
    """`2/8` as (2, 8); raises `UsageError` for anything else."""
    if not re.fullmatch(r"[0-9]{1,9}/[0-9]{1,9}", chunk):
        raise UsageError(
            code="DAT-034",
            what=f"expected K/N, found {chunk!r}",
            where="--chunk",
            fix="--chunk 1/4 is the first of four chunks",
        )
    number, _, of = chunk.partition("/")
    return int(number), int(of)


def reading_as(asked: Plan, *, on_error: str | None, max_skip: int | None) -> Plan:
    """The plan, with these options in all its sources; for this call, so a training says them itself."""
    options = {"on_error": on_error, "max_skip": max_skip}
    given = {name: value for name, value in options.items() if value is not None}
    choices = {
        section: attrs.evolve(choice, options={**choice.options, **given})
        if section.startswith("data.sources[")
        else choice
        for section, choice in asked.choices.items()
    }
    return attrs.evolve(asked, choices=choices) if given else asked


def _tell(done: chunks.Chunk, *, as_json: bool) -> None:
    if as_json:
        fields = attrs.asdict(done) | {"path": str(done.path), "lots": list(done.lots)}
        print_json("codex-data-chunk/1", fields)
        return
    made = "read and encoded" if done.has_tokens else "read; `seal` learns the tokenizer and encodes"
    click.echo(f"chunk      {done.number} of {done.of}: {len(done.lots)} of {done.num_lots} parts {made}")
    click.echo(f"missing    {done.missing} parts of all chunks")
    click.echo(f"path       {done.path}")
    if not done.missing:
        click.echo("next       codex data seal FILE")

"""`codex data overlap`: which texts of one data set stand in another one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from codex_core.cli.data_options import open_rows, reading
from codex_core.cli.output import print_json, say
from codex_core.cli.session import Session
from codex_core.data.overlap import WORDS_PER_GRAM, Overlap, Shared, Texts
from codex_core.data.overlap import overlap as compare
from codex_core.data.prepare import open_prepared
from codex_core.data.splits import SPLITS
from codex_core.errors import ExitCode, UsageError


@click.command()
@click.argument("first")
@click.argument("second")
@reading
@click.option("--check", is_flag=True, help="Exit 1 when anything overlaps.")
@click.option(
    "--examples", type=click.IntRange(min=0), default=10, show_default=True, help="How many to show."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def overlap(
    context: click.Context,
    /,
    first: str,
    second: str,
    check: bool,
    examples: int,
    as_json: bool,
    **how: Any,
) -> None:
    """Tell which documents of SECOND stand in FIRST, whole or as runs of thirteen words.

    \b
    Examples:
      codex data overlap train.jsonl test.jsonl --check
      codex data overlap .codex/store/tokens/KEY:train .codex/store/tokens/KEY:test

    Each is a file or folder of rows, or a prepared set with or without one of its splits.
    """
    session: Session = context.obj
    found = compare(_texts(session, first, how), _texts(session, second, how), num_examples=examples)
    if as_json:
        print_json("codex-data-overlap/1", {"first": first, "second": second, **found.as_dict()})
    else:
        _show(found, first, second)
    if check and found.found:
        say("the two overlap, and --check was asked for")
        context.exit(ExitCode.NO)


def _texts(session: Session, name: str, how: dict[str, Any]) -> Texts:
    """Opens a file, a prepared set, or a split of one."""
    path, split = _parted(name)
    if (path / "manifest.json").is_file():
        prepared = open_prepared(path)
        splits = SPLITS if split is None else (split,)
        return lambda: ((text.id, text.text) for each in splits for text in prepared.texts(each))
    if split is not None:
        raise UsageError(
            code="DAT-025",
            what=f"{path} is no prepared set, so it has no split {split!r}",
            fix="name a prepared set of the store, or the file alone",
        )
    dataset = open_rows(session, path, **how)

    def texts() -> Iterator[tuple[str, str]]:
        return ((f"{record.source[0]}:{record.source[1]}", record.text) for record in dataset.records())

    return texts


def _parted(name: str) -> tuple[Path, str | None]:
    path, colon, split = name.rpartition(":")
    if colon and split in SPLITS and not Path(name).exists():
        return Path(path), split
    return Path(name), None


def _show(found: Overlap, first: str, second: str) -> None:
    click.echo(f"first   {first}: {found.documents[0]:,} documents")
    click.echo(f"second  {second}: {found.documents[1]:,} documents")
    _show_shared("exact", found.exact, found.documents[1])
    _show_shared(f"{WORDS_PER_GRAM}-gram", found.ngram, found.documents[1])
    click.echo(f"         {found.ngram.grams:,} of {found.grams:,} runs of {WORDS_PER_GRAM} words are shared")


def _show_shared(kind: str, shared: Shared, total: int) -> None:
    click.echo(f"{kind:<8} {shared.documents:,} of {total:,} documents of the second stand in the first")
    for here, there in shared.examples:
        click.echo(f"           {there} in {here}")

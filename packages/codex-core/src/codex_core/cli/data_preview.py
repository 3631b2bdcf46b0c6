"""`codex data preview`: rows as a model will see them, and which of it is learned."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from codex_core.cli.data_options import open_rows, reading
from codex_core.cli.output import print_json
from codex_core.cli.session import Session
from codex_core.data.previewing import Preview, open_tokenizer
from codex_core.data.previewing import preview as rendered

_GREEN, _PLAIN = "\x1b[32m", "\x1b[0m"


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@reading
@click.option(
    "--tokenizer",
    default="bytes",
    show_default=True,
    metavar="T",
    help="The folder of a saved tokenizer, or the name of one that has nothing to learn.",
)
@click.option("--template", metavar="X", help="Chat template; by default the tokenizer's own layout.")
@click.option(
    "--rows", type=click.IntRange(min=1), default=5, show_default=True, help="How many rows to show."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def preview(
    session: Session,
    /,
    file: Path,
    tokenizer: str,
    template: str | None,
    rows: int,
    as_json: bool,
    **how: Any,
) -> None:
    """Render the first rows of FILE; what is learned stands in brackets.

    \b
    Examples:
      codex data preview rows.jsonl
      codex data preview chats.jsonl --format messages --rows 1 --json
    """
    dataset = open_rows(session, file, **how)
    opened = open_tokenizer(tokenizer, template=template, registry=session.registry)
    shown = list(rendered(dataset, opened, template=template, most=rows))
    share = _share(shown)
    if as_json:
        print_json(
            "codex-data-preview/1", {"file": str(file), "rows": [row.as_dict() for row in shown], **share}
        )
        return
    begin, end = ("[" + _GREEN, _PLAIN + "]") if _has_colour() else ("[", "]")
    for row in shown:
        click.echo(f"--- {row.id}: {len(row.encoded.ids)} tokens, {row.num_supervised} supervised")
        click.echo(row.marked(begin, end), color=True)
    click.echo(
        f"supervised {share['loss_tokens']:,} of {share['tokens']:,} tokens ({share['supervised_share']:.1%})"
    )


def _share(shown: Sequence[Preview]) -> dict[str, Any]:
    tokens = sum(len(row.encoded.ids) for row in shown)
    supervised = sum(row.num_supervised for row in shown)
    return {"tokens": tokens, "loss_tokens": supervised, "supervised_share": supervised / max(1, tokens)}


def _has_colour() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")

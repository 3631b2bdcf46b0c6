"""`codex data validate`: everything that is wrong with a file of rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from codex_core.cli.data_options import open_rows, reading
from codex_core.cli.output import print_json, say
from codex_core.cli.session import Session
from codex_core.data.validating import Validation
from codex_core.data.validating import validate as read_all
from codex_core.errors import ExitCode


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@reading
@click.option(
    "--on-error",
    type=click.Choice(("fail", "skip")),
    default="fail",
    show_default=True,
    help="Whether an unreadable row makes the answer no, or is skipped.",
)
@click.option("--max-skip", type=click.IntRange(min=0), help="How many rows may be skipped; by default any.")
@click.option(
    "--max-errors",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="How many errors to show.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def validate(
    context: click.Context,
    /,
    file: Path,
    on_error: str,
    max_skip: int | None,
    max_errors: int,
    as_json: bool,
    **how: Any,
) -> None:
    """Read every row of FILE as preparing would, and tell all that is wrong with it; exit 4 when it is refused.

    \b
    Examples:
      codex data validate rows.jsonl
      codex data validate chats.jsonl --format messages --json
      codex data validate rows.jsonl --on-error skip --max-skip 10

    `texts_sha256` tells two machines whether they read the same texts.
    """
    session: Session = context.obj
    dataset = open_rows(session, file, on_error="skip", **how)
    found = read_all(dataset, most=max_errors)
    if as_json:
        print_json("codex-data-validation/1", {"file": str(file), **_plain(found)})
    else:
        _show(found, file)
    if not found.is_accepted(on_error=on_error, max_skip=max_skip):
        context.exit(ExitCode.INPUT)


def _plain(found: Validation) -> dict[str, Any]:
    return {
        "rows": found.rows,
        "skipped": sum(found.skipped.values()),
        "skipped_by_reason": dict(found.skipped),
        "notes": dict(found.notes),
        "texts_sha256": found.texts_sha256,
        "num_errors": found.num_errors,
        "errors": [dict(error) for error in found.errors],
        "complete": found.complete,
    }


def _show(found: Validation, file: Path) -> None:
    for error in found.errors:
        place = f"{error['file']}:{error['line']}" if error["line"] else error["file"]
        field = f"field {error['field']!r}: " if error["field"] else ""
        click.echo(f"{place}: {field}expected {error['expected']}, found {error['found']} [{error['code']}]")
    if found.num_errors > len(found.errors):
        say(f"{found.num_errors - len(found.errors)} more errors; --max-errors shows more of them")
    reasons = ", ".join(f"{count} {reason}" for reason, count in found.skipped.items())
    click.echo(
        f"rows          {found.rows:,} accepted, {found.num_errors:,} errors{reasons and f' ({reasons})'}"
    )
    for note, count in found.notes.items():
        click.echo(f"noted         {note} ({count})")
    click.echo(f"texts sha256  {found.texts_sha256}")
    if found.complete and not (found.rows or found.num_errors):
        say(f"{file} holds no row: preparing would refuse it")
    if not found.complete:
        say(f"{file} could not be read to its end")

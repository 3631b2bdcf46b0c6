"""`codex data index`: every prepared set of the store in one table."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import click

from codex_core.cli import work
from codex_core.cli.output import human_bytes, print_json, table
from codex_core.cli.session import Session
from codex_core.data import housekeeping
from codex_core.data.columns import writing
from codex_core.files import write_atomic


@click.command()
@click.option(
    "--csv",
    "csv_path",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the table there, too.",
)
@click.option(
    "--store",
    type=click.Path(path_type=Path, file_okay=False),
    help="The store to list; by default CODEX_STORE, else the project's.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def index(session: Session, csv_path: Path | None, store: Path | None, as_json: bool) -> None:
    """List every prepared set: path, fingerprint, rows, tokens, duplicates, bytes, splits. Verifies nothing.

    \b
    Examples:
      codex data index
      codex data index --json
      codex data index --csv sets.csv
    """
    place = work.places(session, store).store
    sets = housekeeping.index(place)
    if csv_path is not None:
        with writing(csv_path):
            write_atomic(csv_path, _csv(sets))
    if as_json:
        print_json("codex-data-index/1", {"store": str(place), "sets": sets})
    elif sets:
        headings = ["set", "documents", "rows", "tokens", "duplicates", "size", "tokenizer"]
        rows = [
            [
                one["path"],
                one["documents"],
                one["rows"],
                one["tokens"],
                one["duplicates"],
                human_bytes(one["bytes"]),
                one["tokenizer"],
            ]
            for one in sets
        ]
        click.echo(table(headings, rows))
    else:
        click.echo(f"no prepared sets in {place}")


def _csv(sets: list[dict[str, object]]) -> str:
    text = io.StringIO()
    rows = [_flat(one) for one in sets]
    writer = csv.DictWriter(text, fieldnames=list(rows[0]) if rows else ["path"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _flat(facts: dict[str, object]) -> dict[str, object]:
    """One line of the table: lists with blanks between, one column per split."""
    flat: dict[str, object] = {}
    for key, value in facts.items():
        if isinstance(value, dict):
            flat |= {f"{key}.{name}": held for name, held in value.items()}
        else:
            flat[key] = " ".join(value) if isinstance(value, list) else value
    return flat

"""`codex data trace`: which documents a step reads, and which steps read a document."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from codex_core import journal, runs
from codex_core.cli import work
from codex_core.cli.output import print_json, table
from codex_core.cli.session import Session
from codex_core.data.prepare import open_prepared
from codex_core.data.prepared import Prepared
from codex_core.data.trace import Piece, Place, Sighting, Trace, TracedStep
from codex_core.errors import ArtefactError, UsageError
from codex_core.lock import Lock
from codex_core.runs import RunDir

#: Records that tell of a step that was done.
_DONE = ("step", "step_digest", "checkpoint_saved")

_HEADINGS = (
    "position",
    "row",
    "document",
    "source",
    "file",
    "line",
    "first",
    "tokens",
    "supervised",
    "left out",
)


@click.command()
@click.argument("reference", metavar="RUN", default="@last")
@click.option("--step", "steps", metavar="A[..B]", help="Show the documents of these steps.")
@click.option("--doc", "document", metavar="ID", help="Show the steps that read this document.")
@click.option(
    "--data",
    "data_path",
    type=click.Path(path_type=Path),
    help="The folder of the prepared set; by default the store's.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def trace(
    session: Session,
    reference: str,
    steps: str | None,
    document: str | None,
    data_path: Path | None,
    as_json: bool,
) -> None:
    """Show which documents the steps of RUN read, or which steps read a document.

    \b
    Examples:
      codex data trace @last --step 1..2
      codex data trace @last --doc DOC
      codex data trace @last --step 3 --json

    Lock and prepared set alone decide, so steps that are still to come are shown as well; nothing is trained.
    """
    if (steps is None) == (document is None):
        raise UsageError(
            code="DAT-060",
            what="a trace is of steps or of a document",
            why="exactly one of --step and --doc tells which",
            fix="codex data trace RUN --step 1..2",
        )
    first, last = _range_of(steps) if steps is not None else (0, 0)
    run = runs.find(reference, session.places)
    lock = run.lock()
    traced = Trace(_prepared_of(session, lock, data_path), lock)
    facts = _facts(run, lock)
    if document is not None:
        _show_document(document, *traced.sightings(document), facts=facts, as_json=as_json)
        return
    found = traced.between(first, last)
    if as_json:
        print_json("codex-data-trace/1", {**facts, "traced": [_step_values(step) for step in found]})
        return
    for step in found:
        click.echo(_told_step(step, facts))


def _range_of(steps: str) -> tuple[int, int]:
    """`3` and `3..5` as two numbers."""
    match = re.fullmatch(r"(\d{1,18})(?:\.\.(\d{1,18}))?", steps)
    if match is None:
        raise UsageError(
            code="DAT-060",
            what=f"expected one step or two with two dots between, found {steps!r}",
            where="--step",
            fix="--step 1..2",
        )
    return int(match[1]), int(match[2] or match[1])


def _prepared_of(session: Session, lock: Lock, named: Path | None) -> Prepared:
    """The prepared set of a lock, verified; raises `ArtefactError` for another one."""
    prepared = work.open_data(session, lock) if named is None else open_prepared(named)
    assert isinstance(prepared, Prepared), "stores hold sets of the data room"
    if prepared.manifest_digest != lock.data["manifest_digest"]:
        raise ArtefactError(
            code="RUN-012",
            what="the prepared data is not what the run was started with",
            where=str(prepared.path),
            why=f"the lock names {lock.data['manifest_digest']}, this is {prepared.manifest_digest}",
            fix="codex data trace RUN, without --data",
        )
    return prepared


def _facts(run: RunDir, lock: Lock) -> dict[str, Any]:
    return {
        "run": run.record()["id"],
        "prepared": lock.data["fingerprint"],
        "order": lock.data.get("order"),
        "batch_rows": lock.batch_rows,
        "steps": lock.steps,
        "recorded": _recorded(run),
    }


def _recorded(run: RunDir) -> int:
    """The last step of which the journal tells that it was done, in the newest attempt."""
    step = 0
    for record in journal.read(run.journal).records:
        if record.kind == "run_resumed":
            step = record.fields["step"]
        elif record.kind in _DONE:
            step = max(step, record.fields["step"])
    return step


def _told_step(step: TracedStep, facts: Mapping[str, Any]) -> str:
    last = step.rows[-1]
    epochs = f"epoch {last.epoch}" if step.rows[0].epoch == last.epoch else f"epochs up to {last.epoch}"
    head = (
        f"step {step.step} of {facts['steps']}{_when(step.step, facts)}: {len(step.rows)} rows, {epochs}, "
        f"{step.supervised:,} tokens supervised, {step.digest}"
    )
    shown = [[row.position, row.row, *_shown_piece(piece)] for row in step.rows for piece in row.pieces]
    return f"{head}\n{table(_HEADINGS, shown)}\n"


def _shown_piece(piece: Piece) -> Iterator[object]:
    place = piece.place
    yield from (place.document, place.source, place.file, place.line)
    yield from (piece.first, piece.tokens, piece.supervised, piece.left_out)


def _when(step: int, facts: Mapping[str, Any]) -> str:
    return "" if step <= facts["recorded"] else " (not done yet)"


def _show_document(
    document: str, places: list[Place], seen: list[Sighting], *, facts: Mapping[str, Any], as_json: bool
) -> None:
    if as_json:
        values = [_sighting_values(one) for one in seen]
        found = [_place_values(place) | {"split": place.split} for place in places]
        print_json("codex-data-trace/1", {**facts, "document": document, "found": found, "sightings": values})
        return
    for place in places:
        click.echo(
            f"{document}: data.sources[{place.source}] {place.file}, line {place.line}, in {place.split}"
        )
    if not seen:
        click.echo(f"none of the {facts['steps']} steps reads it")
        return
    headings = ("step", "epoch", *_HEADINGS[:2], *_HEADINGS[6:])
    shown = [[one.step, one.epoch, one.position, one.row, *list(_shown_piece(one.piece))[4:]] for one in seen]
    click.echo(table(headings, shown))
    click.echo(f"{facts['recorded']} of {facts['steps']} steps are recorded as done")


def _step_values(step: TracedStep) -> dict[str, Any]:
    return {
        "step": step.step,
        "digest": step.digest,
        "supervised": step.supervised,
        "rows": [
            {
                "position": row.position,
                "epoch": row.epoch,
                "row": row.row,
                "pieces": [_place_values(piece.place) | _counts(piece) for piece in row.pieces],
            }
            for row in step.rows
        ],
    }


def _sighting_values(one: Sighting) -> dict[str, Any]:
    return {
        "step": one.step,
        "position": one.position,
        "epoch": one.epoch,
        "row": one.row,
        **_counts(one.piece),
    }


def _counts(piece: Piece) -> dict[str, Any]:
    return {name: getattr(piece, name) for name in ("first", "tokens", "supervised", "left_out")}


def _place_values(place: Place) -> dict[str, Any]:
    return {name: getattr(place, name) for name in ("document", "source", "file", "line")}

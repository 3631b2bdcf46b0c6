"""`codex evaluate`: score a checkpoint on a split of prepared data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import click

from codex_core.checkpoints import Checkpoint
from codex_core.cli import work
from codex_core.cli.models import BASE, OpenedModel, find_checkpoint, open_model
from codex_core.cli.output import print_json, say, table
from codex_core.cli.progress import Display
from codex_core.cli.session import Session
from codex_core.contracts import Metric, PreparedData
from codex_core.data.prepare import open_prepared
from codex_core.errors import InputError
from codex_core.evaluation.runner import evaluate_split
from codex_core.records import MetricValue

DEFAULT_METRICS = ("bits_per_byte", "perplexity")


@click.command()
@click.option(
    "--checkpoint",
    "reference",
    default="@last",
    show_default=True,
    metavar="REF",
    help="A run or checkpoint.",
)
@click.option(
    "--data", "data_path", type=click.Path(path_type=Path), help="A prepared set; default: the run's own."
)
@click.option(
    "--split",
    default="validation",
    show_default=True,
    type=click.Choice(["train", "validation", "test"]),
    help="The part of the data to score.",
)
@click.option("--metric", "names", multiple=True, metavar="NAME", help="May be given several times.")
@click.option("--max-documents", type=click.IntRange(min=1), help="Score the first so many documents.")
@click.option("--device", default="cpu", show_default=True, help="Where the model computes.")
@BASE
@click.option("--dry-run", is_flag=True, help="Show what would be scored.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def evaluate(
    session: Session,
    reference: str,
    data_path: Path | None,
    split: str,
    names: tuple[str, ...],
    max_documents: int | None,
    device: str,
    base: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Score a checkpoint on a split; every number comes with its denominator and its signature.

    \b
    Examples:
      codex evaluate --checkpoint @last --split test
      codex evaluate --metric bits_per_byte --metric word_perplexity --json
    """
    found = find_checkpoint(session, reference)
    prepared = open_prepared(data_path) if data_path else _own_data(session, found)
    metrics = build_metrics(session, names or DEFAULT_METRICS)
    facts = {"checkpoint": str(found.path), "step": found.step, "split": split, "data": prepared.fingerprint}
    if dry_run:
        facts["metrics"] = [metric.name for metric in metrics]
        _print_plan(facts, as_json=as_json)
        return
    opened = open_model(session, str(found.path), device=device, base=base)
    _require_same_tokenizer(prepared, opened)
    with Display.of(session.flags) as display:
        values = evaluate_split(
            opened.model, prepared, split, metrics=metrics, max_documents=max_documents, on_event=display
        )
    if as_json:
        print_json(
            "codex-evaluation/1", {**facts, "metrics": [attrs.asdict(value) for value in values.values()]}
        )
        return
    click.echo(results_table(values))
    say(corpus_line(prepared))


def _own_data(session: Session, found: Checkpoint) -> PreparedData:
    """The prepared set that the model was trained on; `InputError` when none is known."""
    fingerprint = found.manifest["data"]["fingerprint"]
    if fingerprint is None:
        raise InputError(
            code="EVL-011",
            what="this model names no data of its own",
            where=str(found.path),
            why="no run of Codex trained it",
            fix="name a prepared set with --data DIR: codex data prepare FILE",
        )
    return work.open_fingerprint(session, fingerprint)


def build_metrics(session: Session, names: Sequence[str]) -> list[Metric]:
    """Metrics by name, with default options."""
    found = [session.registry.find("metrics", name) for name in names]
    classes = [(session.registry.load(row), session.registry.options_class(row)) for row in found]
    return [target(options() if options else None) for target, options in classes]


def results_table(values: Mapping[str, MetricValue]) -> str:
    """Metric values with unit, denominator and signature."""
    rows = [[value.name, value.value, value.unit, value.count, value.signature] for value in values.values()]
    return table(["metric", "value", "unit", "count", "signature"], rows)


def corpus_line(prepared: PreparedData) -> str:
    """What every result names: the corpus by digest, and the Python it was read from where it was."""
    corpus = prepared.manifest["corpus"]
    python = f", Python {corpus['python']}" if corpus.get("python") else ""
    return f"corpus {corpus['digest']}{python}"


def _require_same_tokenizer(prepared: PreparedData, opened: OpenedModel) -> None:
    """Ids mean what the checkpoint's tokenizer says: data made with another one cannot be scored."""
    own, given = opened.tokenizer.fingerprint(), prepared.manifest["tokenizer"]["fingerprint"]
    if given != own:
        raise InputError(
            code="EVL-010",
            what="the prepared data was made with another tokenizer than the checkpoint's",
            where=str(prepared.path),
            why=f"the data has {given}, the checkpoint {own}",
            fix="prepare the data with the checkpoint's tokenizer: tokenizer.path=CHECKPOINT/tokenizer",
        )


def _print_plan(facts: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json("codex-evaluation-plan/1", facts)
        return
    click.echo("DRY RUN: nothing is scored")
    for name, value in facts.items():
        click.echo(f"{name}: {', '.join(value) if isinstance(value, list) else value}")

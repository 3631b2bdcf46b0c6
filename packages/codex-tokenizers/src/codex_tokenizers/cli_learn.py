"""`codex tokenizer train`, `validate` and `refresh`: from a recipe to a folder, and whether both still agree."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import click

from codex_core.events import ProgressMade
from codex_tokenizers import freshness, recipe, training
from codex_tokenizers.cli_output import columns, print_json, say
from codex_tokenizers.corpus import CHUNK_BYTES
from codex_tokenizers.recipe import Recipe


@click.command()
@click.option(
    "--config",
    "config",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE",
    help="The recipe, YAML.",
)
@click.argument("overrides", nargs=-1)
@click.option("--dry-run", is_flag=True, help="Print the plan as JSON and write nothing.")
@click.option("--force", is_flag=True, help="Replace what stands in the output folder.")
@click.option(
    "--stream-chunk-size",
    type=click.IntRange(min=1),
    default=CHUNK_BYTES,
    show_default=True,
    help="Bytes to read at a time; changes memory and speed, never the result.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def train(
    session: Any,
    config: Path,
    overrides: tuple[str, ...],
    *,
    dry_run: bool,
    force: bool,
    stream_chunk_size: int,
    as_json: bool,
) -> None:
    """Learn a tokenizer by the recipe FILE and write it to the recipe's folder.

    \b
    Examples:
      codex tokenizer train --config tokenizer.yaml --dry-run
      codex tokenizer train --config tokenizer.yaml tokenizer.vocab_size=280 out=smaller
      codex tokenizer train --config tokenizer.yaml --force --stream-chunk-size 4096 --json

    The same recipe and the same text give the same bytes: on any number of threads, in any process, and however the
    text is split into files at line ends. The folder's manifest.json names every file that was read, with its digest.
    """
    wanted = recipe.read(config, overrides, session.registry)
    if dry_run:
        print_json("codex-tokenizer-plan/1", training.plan(wanted))
        return
    manifest = _trained(session, wanted, chunk_bytes=stream_chunk_size, replace=force)
    _tell(wanted, manifest, as_json=as_json)


@click.command()
@click.argument("place", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def validate(context: click.Context, place: Path, *, as_json: bool) -> None:
    """Compare PLACE, a tokenizer's folder or its recipe, with the text that it was learned from.

    \b
    Examples:
      codex tokenizer validate words
      codex tokenizer validate tokenizer.yaml --json

    \b
    Exit codes: 0 nothing changed, 1 stale or not trained yet, 4 a file of the corpus is missing, 7 the tokenizer's
    own files are damaged.
    """
    wanted = _recipe_at(place, context.obj)
    if not wanted.out.exists():
        findings = [freshness.Finding(part="tokenizer", name=wanted.out.name, state="absent")]
        found = "untrained"
    else:
        findings = freshness.compare(wanted, freshness.read_manifest(wanted.out))
        found = freshness.verdict(findings)
    if as_json:
        rows = [attrs.asdict(one) for one in findings]
        print_json("codex-tokenizer-validation/1", {"verdict": found, "findings": rows})
    else:
        click.echo(columns([("part", "name", "state"), *(attrs.astuple(one) for one in findings)]))
        _explain(found, findings, place)
    context.exit(int(freshness.VERDICTS[found]))


@click.command()
@click.argument("place", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def refresh(session: Any, place: Path, *, as_json: bool) -> None:
    """Learn the tokenizer at PLACE, a folder or a recipe, again when anything that it depends on has changed.

    \b
    Examples:
      codex tokenizer refresh words
      codex tokenizer refresh tokenizer.yaml --json
    """
    wanted = _recipe_at(place, session)
    manifest = None
    if wanted.out.exists():
        manifest = freshness.read_manifest(wanted.out)
        findings = freshness.compare(wanted, manifest)
        changed = [f"{one.name} is {one.state}" for one in findings if one.state != "same"]
        if changed:
            say("; ".join(changed))
        else:
            say("nothing has changed since it was learned")
            _tell(wanted, manifest, as_json=as_json)
            return
    _tell(wanted, _trained(session, wanted, replace=True), as_json=as_json)


def _recipe_at(place: Path, session: Any) -> Recipe:
    training.restore(place)
    if place.is_dir() or place.name == training.MANIFEST_NAME:
        folder = place if place.is_dir() else place.parent
        return recipe.from_manifest(freshness.read_manifest(folder), folder, session.registry)
    wanted = recipe.read(place, (), session.registry)
    training.restore(wanted.out)
    return wanted


def _trained(
    session: Any, wanted: Recipe, *, replace: bool, chunk_bytes: int = CHUNK_BYTES
) -> dict[str, Any]:
    total = training.plan(wanted)["bytes"]
    with session.display() as display:
        return training.train(
            wanted, chunk_bytes=chunk_bytes, replace=replace, on_bytes=_progress(display, total, wanted.id)
        )


def _progress(display: Callable[[Any], None], total: int, name: str) -> Callable[[int], None]:
    def told(done: int) -> None:
        display(ProgressMade(phase="tokenizer", done=done, total=total, detail=f"bytes for {name}"))

    return told


def _tell(wanted: Recipe, manifest: dict[str, Any], *, as_json: bool) -> None:
    out = training.plan(wanted)["out"]
    if as_json:
        print_json("codex-tokenizer-training/1", {"out": out, "manifest": manifest})
    else:
        say(
            f"{manifest['tokenizer']['vocab_size']} ids from {len(manifest['corpus'])} files; {manifest['digest']}"
        )
        click.echo(out)


def _explain(found: str, findings: list[freshness.Finding], place: Path) -> None:
    wrong = [f"{one.name} is {one.state}" for one in findings if one.state != "same"]
    if found == "fresh":
        say("fresh: recipe, corpus and tokenizer are as they were when it was learned")
        return
    say(f"{found}: {'; '.join(wrong)}")
    if found != "incomplete":
        say(f"fix: codex tokenizer refresh {place}")

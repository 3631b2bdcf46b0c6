"""`codex demo`: the whole way on this machine's own text, without a download.

Prepares Python's documentation, trains a tokenizer and a small model, scores it on the test split beside baselines
over the same bytes, and samples from it.

Decisions: the test split is read once, at the end, for all rows of the table; every number is computed here, from
the bytes after safety; a baseline that beats the model is printed as it is. Without codex-models the model is the
core's n-gram, without codex-tokenizers the tokens are bytes.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import click

from codex_core.canonical import readable_json
from codex_core.cli import work
from codex_core.cli.continuing import Completion, completions
from codex_core.cli.evaluate import build_metrics, corpus_line
from codex_core.cli.models import OpenedModel, open_model
from codex_core.cli.output import print_json, say, table
from codex_core.cli.progress import Display
from codex_core.cli.safety_gate import installed_policy
from codex_core.cli.session import Session
from codex_core.contracts import PreparedData
from codex_core.errors import MissingDependency
from codex_core.evaluation.compression import PRIMED_SIGNATURE, SIGNATURE, xz_bits_per_byte
from codex_core.evaluation.runner import evaluate_split
from codex_core.execute import RunResult
from codex_core.records import GenerationSettings, plain_text

PRESETS = ("quick", "long", "tiny")
PROMPTS = ("The ``with`` statement", "Return the number of", "An iterator is")
BASELINE = ("model={name: ngram, order: 5}", "trainer={name: ngram, batch_rows: 64}", "run.name=demo-ngram")
TOKENS_PER_COMPLETION = 48


@attrs.frozen(kw_only=True)
class Score:
    """One row of the table: who, bits per byte of the test split, and how that was computed."""

    name: str
    bits_per_byte: float
    signature: str


@click.command()
@click.option(
    "--preset", type=click.Choice(PRESETS), default="quick", show_default=True, help="How long to train."
)
@click.option("--run-dir", type=click.Path(path_type=Path), help="The run's folder; must be new.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def demo(session: Session, preset: str, run_dir: Path | None, as_json: bool) -> int:
    """Train, evaluate and sample a small model on Python's own documentation.

    \b
    Examples:
      codex demo                  at most five minutes on two cores
      codex demo --preset long    at most twenty minutes
    """
    started = time.monotonic()
    chosen, safety = _preset(session, preset), _safety(session)
    asked = work.make_plan(session, None, safety, preset=chosen)
    say(f"preset {chosen}: {asked.choices['model'].id} over {asked.choices['tokenizer'].id}")
    result = work.start(session, asked, run_dir=run_dir)
    if result.exit_code:
        say(f"stopped at step {result.steps}; continue with: codex train --resume {result.run.path}")
        return result.exit_code
    prepared = work.open_data(session, result.run.lock())
    opened = open_model(session, str(result.run.path))
    scores = _scores(session, opened, prepared, preset=chosen, safety=safety)
    completions = _completions(session, opened)
    facts = _facts(result, prepared, scores, completions, preset=chosen, seconds=time.monotonic() - started)
    result.run.write("demo.json", readable_json(facts))
    if as_json:
        print_json("codex-demo/1", facts)
    else:
        _print(result, prepared, scores, completions, seconds=facts["seconds"])
    return 0


def _preset(session: Session, name: str) -> str:
    """The preset for what is installed: the decoder over BPE, else the n-gram over the best tokenizer there is."""
    has_decoder = _is_usable(session, "models", "decoder")
    has_bpe = _is_usable(session, "tokenizers", "bpe")
    if has_decoder and has_bpe:
        return f"demo-{name}"
    say("codex-models or codex-tokenizers cannot be used here: the demo takes the core's own n-gram instead")
    say("  for the decoder: pip install codex-models codex-tokenizers")
    return "demo-ngram-bpe" if has_bpe else "demo-ngram"


def _safety(session: Session) -> tuple[str, ...]:
    """What the configuration has to say of safety: nothing with a policy installed, else that there is none."""
    if any(row.kind == "safety_policies" and row.state == "ok" for row in session.registry.rows):
        return ()
    say("no safety policy is installed: the text is taken as it is (pip install codex-safety)")
    return ("safety={name: none, reason: no policy is installed}",)


def _is_usable(session: Session, kind: str, name: str) -> bool:
    try:
        return bool(session.registry.find(kind, name).state == "ok")
    except MissingDependency:
        return False


def _scores(
    session: Session, opened: OpenedModel, prepared: PreparedData, *, preset: str, safety: Sequence[str]
) -> list[Score]:
    """The model and its baselines over the same bytes of the test split, which is read here and nowhere else."""
    models = {opened.manifest["components"]["model"]["id"]: opened}
    if not preset.startswith("demo-ngram"):
        say("baseline: the core's n-gram of order 5 over the same tokens")
        baseline = work.start(session, work.make_plan(session, None, [*BASELINE, *safety], preset=preset))
        models["codex-core/ngram, order 5"] = open_model(session, str(baseline.run.path))
    scores = []
    for name, model in models.items():
        with Display.of(session.flags) as display:
            metrics = build_metrics(session, ["bits_per_byte"])
            value = evaluate_split(model.model, prepared, "test", metrics=metrics, on_event=display)[
                "bits_per_byte"
            ]
        scores.append(Score(name=name, bits_per_byte=value.value, signature=value.signature))
    test = [text.text for text in prepared.texts("test")]
    train = [text.text for text in prepared.texts("train")]
    alone, primed = xz_bits_per_byte(test), xz_bits_per_byte(test, primer=train)
    scores.append(Score(name="xz -9e, primed with train", bits_per_byte=primed, signature=PRIMED_SIGNATURE))
    scores.append(Score(name="xz -9e, test alone", bits_per_byte=alone, signature=SIGNATURE))
    return scores


def _completions(session: Session, opened: OpenedModel) -> list[Completion]:
    settings = GenerationSettings(max_new_tokens=TOKENS_PER_COMPLETION, temperature=0.7, top_k=50, seed=1)
    prompts = [plain_text(text, id=text, source=("demo", number)) for number, text in enumerate(PROMPTS, 1)]
    return list(completions(opened, prompts, settings, policy=installed_policy(session)))


def _facts(
    result: RunResult,
    prepared: PreparedData,
    scores: Sequence[Score],
    completions: Sequence[Completion],
    *,
    preset: str,
    seconds: float,
) -> dict[str, Any]:
    manifest = prepared.manifest
    return {
        "format": "codex-demo/1",
        "preset": preset,
        "run": result.run.path.name,
        "steps": result.steps,
        "tokens": result.tokens,
        "seconds": round(seconds, 1),
        "corpus": dict(manifest["corpus"]),
        "data": prepared.fingerprint,
        "test": dict(manifest["splits"]["test"]),
        "scores": [attrs.asdict(score) for score in scores],
        "completions": [attrs.asdict(completion) for completion in completions],
    }


def _print(
    result: RunResult,
    prepared: PreparedData,
    scores: Sequence[Score],
    completions: Sequence[Completion],
    *,
    seconds: float,
) -> None:
    test = prepared.manifest["splits"]["test"]
    click.echo(f"\ntest split: {test['documents']:,} documents, {test['bytes']:,} bytes after safety")
    click.echo(table(["model", "bits/byte"], [[score.name, score.bits_per_byte] for score in scores]))
    click.echo(corpus_line(prepared))
    click.echo("\nsamples (temperature 0.7):")
    for completion in completions:
        click.echo(f"  > {completion.prompt}|{completion.text}".replace("\n", "\n    "))
    click.echo(
        f"\n{result.steps} steps, {result.tokens:,} tokens, {seconds:.0f} s in all; run: {result.run.path}"
    )
    click.echo("next:")
    click.echo(f'  codex generate --model {result.run.path.name} "The with statement"')
    click.echo("  codex registry list")
    click.echo("  codex registry compose -o run.yaml && codex plan run.yaml")

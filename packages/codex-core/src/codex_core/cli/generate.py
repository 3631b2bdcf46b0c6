"""`codex generate`: continue prompts with a trained model, with safety before and after."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import attrs
import click

from codex_core.cli.models import BASE, OpenedModel, open_model
from codex_core.cli.output import print_json, say
from codex_core.cli.session import Session
from codex_core.contracts import SafetyPolicy, SafetyStream, Tokenizer
from codex_core.errors import InputError, RunFailed
from codex_core.records import GenerationSettings
from codex_core.running.project_journal import append


@click.command()
@click.argument("prompts", nargs=-1)
@click.option(
    "--model", "reference", required=True, metavar="REF", help="A run, checkpoint or model folder, or @last."
)
@click.option(
    "--max-new-tokens",
    type=click.IntRange(min=1),
    default=64,
    show_default=True,
    help="Tokens at most, per prompt.",
)
@click.option(
    "--temperature", type=click.FloatRange(min=0), default=0.8, show_default=True, help="0 is greedy."
)
@click.option("--top-k", type=click.IntRange(min=0), default=0, show_default=True, help="0 keeps all.")
@click.option(
    "--top-p",
    type=click.FloatRange(min=0, max=1, min_open=True),
    default=1.0,
    show_default=True,
    help="Keep the likeliest tokens up to this share; 1 keeps all.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Equal seeds give equal text."
)
@click.option("--device", default="cpu", show_default=True, help="Where the model computes.")
@click.option("--dtype", default=None, help="Default: as the checkpoint was saved.")
@BASE
@click.option("--bypass-safety", metavar="REASON", help="Apply no safety policy; leaves an audit row.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def generate(
    session: Session,
    prompts: tuple[str, ...],
    reference: str,
    max_new_tokens: int,
    temperature: float,
    top_k: int,
    top_p: float,
    seed: int,
    device: str,
    dtype: str | None,
    base: Path | None,
    bypass_safety: str | None,
    as_json: bool,
) -> None:
    """Continue PROMPTS (an empty prompt when none is given).

    \b
    Examples:
      codex generate --model @last "The with statement"
      codex generate --model @last --temperature 0 --json "def main"
    """
    opened = open_model(session, reference, device=device, dtype=dtype, base=base)
    settings = GenerationSettings(
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        seed=seed,
        stop_ids=(opened.tokenizer.special_ids["eos"],),
    )
    policy = _policy(session, bypass_safety)
    asked = [_admitted(prompt, policy) for prompt in prompts or ("",)]
    if as_json:
        done = continue_prompts(opened, asked, settings, policy=policy)
        rows = [attrs.asdict(completion) for completion in done]
        print_json("codex-generation/1", {"model": str(opened.path), "seed": seed, "completions": rows})
        return
    for completion in continue_prompts(opened, asked, settings, policy=policy):
        click.echo(completion.prompt + completion.text)


@attrs.frozen(kw_only=True)
class Completion:
    """A continued prompt: its text after safety, tokens made, why it ended, and how many rules matched."""

    prompt: str
    text: str
    tokens: int
    finish_reason: str
    matches: int


def continue_prompts(
    opened: OpenedModel, prompts: Sequence[str], settings: GenerationSettings, *, policy: SafetyPolicy | None
) -> list[Completion]:
    """Continue prompts, in their order."""
    tokenizer = opened.tokenizer
    context = [(tokenizer.special_ids["bos"], *tokenizer.encode(prompt)) for prompt in prompts]
    _check_lengths(context, limit=opened.model.context_length)
    texts = [_TextStream(tokenizer, policy.stream("output") if policy else None) for _ in prompts]
    for chunk in opened.model.generate(context, settings):
        texts[chunk.index].push(chunk.ids, chunk.finish_reason)
    return [text.completion(prompt) for prompt, text in zip(prompts, texts, strict=True)]


class _TextStream:
    """Ids in, safe text out; bytes of an unfinished character are held back."""

    def __init__(self, tokenizer: Tokenizer, safety: SafetyStream | None) -> None:
        self._tokenizer = tokenizer
        self._safety = safety
        self._ids: list[int] = []
        self._pushed = 0
        self._shown: list[str] = []
        self._reason = "length"
        self._matches = 0

    def push(self, ids: Iterable[int], finish_reason: str | None) -> None:
        self._ids.extend(ids)
        whole = self._tokenizer.decode(self._ids)
        stable = whole if finish_reason else whole.rstrip("\ufffd")
        piece, self._pushed = stable[self._pushed :], max(self._pushed, len(stable))
        self._shown.append(self._safety.push(piece) if self._safety else piece)
        if finish_reason:
            self._reason = finish_reason
            self._close()

    def _close(self) -> None:
        if self._safety is not None:
            rest, matches = self._safety.close()
            self._shown.append(rest)
            self._matches = len(matches)

    def completion(self, prompt: str) -> Completion:
        return Completion(
            prompt=prompt,
            text="".join(self._shown),
            tokens=len(self._ids),
            finish_reason=self._reason,
            matches=self._matches,
        )


def _check_lengths(context: Sequence[Sequence[int]], *, limit: int | None) -> None:
    for number, ids in enumerate(context, start=1):
        if limit is not None and len(ids) >= limit:
            raise InputError(
                code="GEN-001",
                what=f"prompt {number} has {len(ids)} tokens and the model's context is {limit}",
                fix="shorten the prompt",
            )


def _policy(session: Session, bypass_reason: str | None) -> SafetyPolicy | None:
    """The installed policy; a bypass is said aloud and leaves an audit row."""
    if bypass_reason is None:
        return installed_policy(session)
    append(session.places, "safety_bypassed", {"command": "generate", "reason": bypass_reason})
    say(f"safety bypassed: {bypass_reason}")
    return None


def installed_policy(session: Session) -> SafetyPolicy | None:
    """The first usable policy, with its default options; that there is none is said aloud."""
    rows = [row for row in session.registry.rows if row.kind == "safety_policies" and row.state == "ok"]
    if not rows:
        say("no safety policy is installed: prompts and output pass as they are (pip install codex-safety)")
        return None
    options = session.registry.options_class(rows[0])
    policy: SafetyPolicy = session.registry.load(rows[0])(options() if options else None)
    return policy


def _admitted(prompt: str, policy: SafetyPolicy | None) -> str:
    if policy is None:
        return prompt
    decision = policy.inspect(prompt, "prompt")
    if not decision.allowed:
        rules = ", ".join(sorted({match.rule for match in decision.matches}))
        raise RunFailed(
            code="GEN-002", what="the prompt was blocked by the safety policy", why=f"rules: {rules}"
        )
    if decision.matches:
        say(f"safety redacted {len(decision.matches)} span(s) of the prompt")
    return decision.text

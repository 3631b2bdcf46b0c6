"""`codex generate`: continue prompts with a trained model, with safety before and after."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import click

from codex_core.cli.chat import Chat, typed_lines
from codex_core.cli.continuing import Completion, completions, continued
from codex_core.cli.models import BASE, OpenedModel, open_model
from codex_core.cli.output import print_json
from codex_core.cli.prompt_lines import records_of
from codex_core.cli.safety_gate import admitted, policy_for
from codex_core.cli.session import Session
from codex_core.contracts import SafetyPolicy
from codex_core.errors import InputError, UsageError
from codex_core.records import GenerationSettings, Record, plain_text


@attrs.frozen(kw_only=True)
class _Asked:
    """How to continue, as the options say."""

    settings: GenerationSettings
    stop: tuple[str, ...]
    truncate: bool


@click.command()
@click.argument("prompts", nargs=-1)
@click.option(
    "--model", "reference", required=True, metavar="REF", help="A run, checkpoint or model folder, or @last."
)
@click.option(
    "--prompts", "file", metavar="FILE", help='Read {"prompt": ...} or {"messages": [...]} lines; - is stdin.'
)
@click.option("--chat", is_flag=True, help="Talk: every line of stdin is a turn, the history is kept.")
@click.option("--system", metavar="TEXT", help="With --chat: the turn before the first.")
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
    "--min-p",
    type=click.FloatRange(min=0, max=1),
    default=0.0,
    show_default=True,
    help="Keep tokens at least this share as likely as the likeliest; 0 keeps all.",
)
@click.option(
    "--repetition-penalty",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    show_default=True,
    help="Above 1 makes tokens that were there before less likely.",
)
@click.option(
    "--stop", multiple=True, metavar="TEXT", help="End before this text; may be given several times."
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Equal seeds give equal text."
)
@click.option(
    "--truncate-prompt", is_flag=True, help="Cut the beginning of a prompt that does not fit, aloud."
)
@click.option("--device", default="cpu", show_default=True, help="Where the model computes.")
@click.option("--dtype", default=None, help="Default: as the checkpoint was saved.")
@BASE
@click.option("--bypass-safety", metavar="REASON", help="Apply no safety policy; leaves an audit row.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def generate(
    session: Session,
    /,
    prompts: tuple[str, ...],
    reference: str,
    file: str | None,
    chat: bool,
    system: str | None,
    stop: tuple[str, ...],
    truncate_prompt: bool,
    device: str,
    dtype: str | None,
    base: Path | None,
    bypass_safety: str | None,
    as_json: bool,
    **settings: Any,
) -> int | None:
    """Continue PROMPTS (an empty prompt when none is given).

    \b
    Examples:
      codex generate --model @last "The with statement"
      codex generate --model @last --temperature 0 --json "def main"
      codex generate --model @last --prompts prompts.jsonl
      codex generate --model @last --chat
    """
    _require_one_source(prompts, file=file, chat=chat, system=system, as_json=as_json)
    if "" in stop:
        raise UsageError(code="GEN-004", what="--stop is empty", why="every text holds the empty one")
    records = _records(prompts, file)
    opened = open_model(session, reference, device=device, dtype=dtype, base=base)
    asked = _Asked(settings=GenerationSettings(**settings), stop=stop, truncate=truncate_prompt)
    policy = policy_for(session, bypass_safety, command="generate")
    if chat:
        talk = Chat(opened=opened, settings=asked.settings, policy=policy, stop=stop, system=system)
        return talk.run(typed_lines())
    records = [admitted(record, policy) for record in records]
    if as_json:
        rows = [attrs.asdict(one) for one in _completed(opened, records, asked, policy)]
        fields = {"model": str(opened.path), "seed": asked.settings.seed, "completions": rows}
        print_json("codex-generation/1", fields)
    elif file is not None:
        _print_lines(opened, records, asked, policy)
    elif len(records) == 1:
        _stream(opened, records[0], asked, policy)
    else:
        for one in _completed(opened, records, asked, policy):
            click.echo(one.prompt + one.text)
    return None


def _require_one_source(
    prompts: Sequence[str], *, file: str | None, chat: bool, system: str | None, as_json: bool
) -> None:
    given = [
        name for name, is_given in (("PROMPTS", prompts), ("--prompts", file), ("--chat", chat)) if is_given
    ]
    if len(given) > 1:
        raise UsageError(
            code="GEN-004", what=f"{' and '.join(given)} exclude each other", fix="codex generate --help"
        )
    if system is not None and not chat:
        raise UsageError(code="GEN-004", what="--system has no effect without --chat", fix="add --chat")
    if chat and as_json:
        raise UsageError(
            code="GEN-004",
            what="--chat prints answers as they come, not one JSON object",
            fix='leave --json out, or use --prompts with {"messages": [...]} lines',
        )


def _records(prompts: Sequence[str], file: str | None) -> list[Record]:
    if file is None:
        texts = prompts or ("",)
        return [
            plain_text(text, id=f"prompt {number}", source=("argument", number))
            for number, text in enumerate(texts, start=1)
        ]
    if file == "-":
        return list(records_of(sys.stdin.buffer, name="stdin"))
    try:
        with Path(file).open("rb") as lines:
            return list(records_of(lines, name=file))
    except OSError as error:
        raise InputError(
            code="GEN-003",
            what="the prompts cannot be read",
            where=file,
            why=error.strerror or str(error),
            fix="name a file of JSON lines, or - for stdin",
        ) from None


def _completed(
    opened: OpenedModel, records: Sequence[Record], asked: _Asked, policy: SafetyPolicy | None
) -> Iterator[Completion]:
    return completions(
        opened, records, asked.settings, policy=policy, stop=asked.stop, truncate=asked.truncate
    )


def _print_lines(
    opened: OpenedModel, records: Sequence[Record], asked: _Asked, policy: SafetyPolicy | None
) -> None:
    """One line of JSON per prompt, in their order, each as soon as it is there."""
    for index, one in enumerate(_completed(opened, records, asked, policy)):
        row = {"index": index, "text": one.text, "finish_reason": one.finish_reason, "tokens": one.tokens}
        click.echo(json.dumps(row))


def _stream(opened: OpenedModel, record: Record, asked: _Asked, policy: SafetyPolicy | None) -> None:
    """The prompt and its continuation as it comes."""
    pieces = continued(
        opened, [record], asked.settings, policy=policy, stop=asked.stop, truncate=asked.truncate
    )
    before = record.text
    for shown in pieces:
        click.echo(before + shown.text, nl=False)
        before = ""
    click.echo()

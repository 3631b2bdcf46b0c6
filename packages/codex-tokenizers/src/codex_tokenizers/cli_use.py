"""`codex tokenizer encode`, `decode`, `stats` and `show`: a tokenizer at work."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from codex_core.contracts import Tokenizer
from codex_core.rendering import BORDER_RULE
from codex_tokenizers.cli_output import columns, print_json
from codex_tokenizers.corpus import Corpus
from codex_tokenizers.opening import environment, open_tokenizer
from codex_tokenizers.pipes import converted, ids_of, unreadable
from codex_tokenizers.samples import BACKENDS


def with_tokenizer(command: Callable[..., None]) -> Any:
    """Add the options that choose a tokenizer, and give the command the tokenizer."""

    @click.option(
        "--tokenizer",
        "-t",
        "named",
        metavar="NAME|FOLDER",
        help="Its folder, or its name in a catalogue; else CODEX_TOKENIZER, else the name `default`.",
    )
    @click.option(
        "--backend",
        type=click.Choice(BACKENDS),
        default="auto",
        show_default=True,
        help="What encodes for bpe; ids are the same.",
    )
    @click.pass_context
    @wraps(command)
    def wrapped(context: click.Context, /, *, named: str | None, backend: str, **given: Any) -> None:
        session = context.obj
        tokenizer = open_tokenizer(
            named,
            registry=session.registry,
            places=session.places,
            environ=environment(),
            backend=backend,
        )
        command(tokenizer, **given)

    return wrapped


@click.command()
@click.argument("text", nargs=-1)
@click.option("--lines", is_flag=True, help='Rows of JSON on stdin: {"text": ...} becomes {"ids": [...]}.')
@click.option("--allow-special", is_flag=True, help="Read the spelling of a special token as that token.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@with_tokenizer
def encode(
    tokenizer: Tokenizer, *, text: tuple[str, ...], lines: bool, allow_special: bool, as_json: bool
) -> None:
    """Print the ids of TEXT; without TEXT, or for `-`, of everything on standard input.

    \b
    Examples:
      codex tokenizer encode "a few words" --tokenizer words
      codex tokenizer encode "a few words" -t words | codex tokenizer decode - -t words
      codex tokenizer encode "a few words" -t bytes --json

    With --lines each line of standard input is a row of JSON, and so is each line of the answer.
    """
    if lines:
        for row in converted(
            _stdin_lines(),
            taken="text",
            given="ids",
            convert=lambda one: tokenizer.encode(one, allow_special=allow_special),
        ):
            click.echo(row)
        return
    whole = " ".join(text) if text and text != ("-",) else _stdin_text()
    ids = list(tokenizer.encode(whole, allow_special=allow_special))
    if as_json:
        print_json("codex-tokenizer-encoding/1", {"ids": ids, "count": len(ids)})
    else:
        click.echo(" ".join(map(str, ids)))


@click.command()
@click.argument("ids", nargs=-1)
@click.option("--lines", is_flag=True, help='Rows of JSON on stdin: {"ids": [...]} becomes {"text": ...}.')
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@with_tokenizer
def decode(tokenizer: Tokenizer, *, ids: tuple[str, ...], lines: bool, as_json: bool) -> None:
    """Print the text of IDS, byte for byte and without a line end; without IDS, or for `-`, those on standard input.

    \b
    Examples:
      codex tokenizer decode 104 105 --tokenizer bytes
      codex tokenizer encode "a few words" -t words | codex tokenizer decode - -t words
      codex tokenizer decode 104 105 -t bytes --json
    """
    if lines:
        for row in converted(_stdin_lines(), taken="ids", given="text", convert=tokenizer.decode):
            click.echo(row)
        return
    text = tokenizer.decode(ids_of(" ".join(ids) if ids and ids != ("-",) else _stdin_text()))
    if as_json:
        print_json("codex-tokenizer-decoding/1", {"text": text})
    else:
        click.echo(text.encode(), nl=False)


@click.command()
@click.option(
    "--corpus",
    type=click.Path(path_type=Path),
    multiple=True,
    required=True,
    metavar="FILE",
    help="A text or JSON Lines file to measure on; may be given several times.",
)
@click.option(
    "--field", default="text", show_default=True, help="The field of JSON Lines that holds the text."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@with_tokenizer
def stats(tokenizer: Tokenizer, *, corpus: tuple[Path, ...], field: str, as_json: bool) -> None:
    """Measure how well a tokenizer fits files.

    \b
    Examples:
      codex tokenizer stats --tokenizer words --corpus corpus/00.txt
      codex tokenizer stats -t bytes --corpus rows.jsonl --field text --json
    """
    found = measured(tokenizer, Corpus([(path.name, path) for path in corpus], field=field))
    if as_json:
        print_json("codex-tokenizer-stats/1", found)
    else:
        click.echo(columns([(name, _shown(value)) for name, value in found.items()]))


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@with_tokenizer
def show(tokenizer: Tokenizer, *, as_json: bool) -> None:
    """Tell what a tokenizer is: size, special ids, template, backend, fingerprint.

    \b
    Examples:
      codex tokenizer show --tokenizer words
      codex tokenizer show -t bytes --json
    """
    template = getattr(tokenizer, "template", None)
    fields = {
        "kind": type(tokenizer).__name__,
        "vocab_size": tokenizer.vocab_size,
        "special_ids": dict(tokenizer.special_ids),
        "lossless": tokenizer.lossless,
        "backend": getattr(tokenizer, "backend", "python"),
        "template": "plain" if template is None else template.name,
        "border_rule": BORDER_RULE,
        "fingerprint": tokenizer.fingerprint(),
    }
    if as_json:
        print_json("codex-tokenizer-description/1", fields)
    else:
        click.echo(columns([(name.replace("_", " "), value) for name, value in fields.items()]))


def measured(tokenizer: Tokenizer, texts: Iterable[str]) -> dict[str, Any]:
    """Sizes and rates over texts; rates without a denominator are None."""
    num_bytes = num_characters = num_tokens = num_unknown = num_texts = 0
    unknown = tokenizer.special_ids.get("unk")
    used: set[int] = set()
    for text in texts:
        ids = tokenizer.encode(text)
        used.update(ids)
        num_texts += 1
        num_bytes += len(text.encode())
        num_characters += len(text)
        num_tokens += len(ids)
        num_unknown += 0 if unknown is None else ids.count(unknown)
    return {
        "vocab_size": tokenizer.vocab_size,
        "used_ids": len(used),
        "texts": num_texts,
        "bytes": num_bytes,
        "characters": num_characters,
        "tokens": num_tokens,
        "bytes_per_token": num_bytes / num_tokens if num_tokens else None,
        "characters_per_token": num_characters / num_tokens if num_tokens else None,
        "tokens_per_character": num_tokens / num_characters if num_characters else None,
        "unknown_rate": num_unknown / num_tokens if num_tokens else None,
    }


def _stdin_lines() -> Iterable[bytes]:
    return sys.stdin.buffer


def _stdin_text() -> str:
    try:
        return b"".join(_stdin_lines()).decode()
    except UnicodeDecodeError as error:
        raise unreadable(f"standard input is not UTF-8 text: {error.reason} at byte {error.start}") from error


def _shown(value: Any) -> Any:
    return f"{value:.4f}" if isinstance(value, float) else "-" if value is None else value

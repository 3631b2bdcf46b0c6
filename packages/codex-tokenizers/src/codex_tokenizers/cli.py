"""The commands under `codex tokenizer`."""

from __future__ import annotations

import click

from codex_tokenizers.cli_learn import refresh, train, validate
from codex_tokenizers.cli_use import decode, encode, show, stats


@click.group(name="tokenizer")
def tokenizer() -> None:
    """Learn, use and check tokenizers outside a run.

    \b
    Examples:
      codex tokenizer train --config tokenizer.yaml out=smaller tokenizer.vocab_size=280
      codex tokenizer show --tokenizer words
    """


for command in (train, encode, decode, stats, validate, refresh, show):
    tokenizer.add_command(command)

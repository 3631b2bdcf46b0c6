"""`codex data`: the group; each of its commands has a module of its own."""

from __future__ import annotations

import click

from codex_core.cli.data_inspect import inspect
from codex_core.cli.data_prepare import prepare


@click.group()
def data() -> None:
    """Prepare and inspect training data.

    \b
    Examples:
      codex data prepare run.yaml
      codex data inspect .codex/store/tokens/KEY
    """


for command in (
    prepare,
    inspect,
):
    data.add_command(command)

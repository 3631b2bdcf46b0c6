"""`codex data`: the group; each of its commands has a module of its own."""

from __future__ import annotations

import click

from codex_core.cli.data_gc import gc
from codex_core.cli.data_index import index
from codex_core.cli.data_inspect import inspect
from codex_core.cli.data_overlap import overlap
from codex_core.cli.data_prepare import prepare
from codex_core.cli.data_preview import preview
from codex_core.cli.data_seal import seal
from codex_core.cli.data_trace import trace
from codex_core.cli.data_validate import validate
from codex_core.cli.data_verify import verify


@click.group()
def data() -> None:
    """Check, prepare and inspect training data.

    \b
    Examples:
      codex data validate rows.jsonl
      codex data prepare run.yaml
      codex data inspect .codex/store/tokens/KEY
    """


for command in (
    validate,
    preview,
    prepare,
    seal,
    inspect,
    verify,
    index,
    trace,
    overlap,
    gc,
):
    data.add_command(command)

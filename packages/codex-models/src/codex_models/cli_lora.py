"""The commands under `codex model` for adapters; nothing heavy is imported before one of them runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from codex_models.cli_output import print_json, say

_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
_out = click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    metavar="DIR",
    help="The folder to make; it must not exist.",
)
_base = click.option(
    "--base",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where the base of the adapter is, when it is not where it was.",
)


@click.command()
@click.argument("reference", metavar="REF")
@_out
@_base
@_json
@click.pass_obj
def merge(session: Any, reference: str, *, out: Path, base: Path | None, as_json: bool) -> None:
    """Work the adapter of REF into its base: a model folder that needs neither of the two.

    \b
    Examples:
      codex model merge adapted --out merged
      codex model merge adapted --out merged --base tiny --json

    What was written is read back and its logits are compared with base and adapter apart before the folder appears.
    """
    from codex_models.lora_merge import merge_model

    done = merge_model(reference, out, places=session.places, registry=session.registry, base=base)
    if as_json:
        print_json("codex-model-merge/1", {"path": out.as_posix(), **done.fields()})
        return
    click.echo(out.as_posix())
    for line in done.lines():
        say(line)


@click.command(name="export-adapter")
@click.argument("reference", metavar="REF")
@_out
@_base
@_json
@click.pass_obj
def export_adapter(session: Any, reference: str, *, out: Path, base: Path | None, as_json: bool) -> None:
    """Write the adapter of REF alone, as a folder that peft loads.

    \b
    Examples:
      codex model export-adapter adapted --out adapter
      codex model export-adapter adapted --out adapter --base tiny --json

    Where peft is installed, it loads the folder and its logits are compared before the folder appears.
    """
    from codex_models.lora_export import export_adapter as export

    done = export(reference, out, places=session.places, registry=session.registry, base=base)
    if as_json:
        print_json("codex-model-adapter/1", {"path": out.as_posix(), **done.fields()})
        return
    click.echo(out.as_posix())
    for line in done.lines():
        say(line)

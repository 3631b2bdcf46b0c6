"""The commands under `codex model`; nothing heavy is imported before one of them runs.

Decision: what a command is given beside its options is the call's session: `places` and `registry`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from codex_core.errors import ExitCode
from codex_models.cli_lora import export_adapter, merge
from codex_models.cli_output import columns, print_json, say, size_text

LAYOUTS = ("llama", "qwen2", "qwen3", "gpt2")
DTYPES = ("float32", "bfloat16", "float16")

_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
_out = click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    metavar="DIR",
    help="The folder to make; it must not exist.",
)


@click.group(name="model")
def model() -> None:
    """Check, make, import, export and list models in folders.

    \b
    Examples:
      codex model make-tiny --out made
      codex model check tiny
      codex model list
    """


@model.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@_json
@click.pass_context
def check(context: click.Context, folder: Path, *, as_json: bool) -> None:
    """List the files of a model in DIR: present, missing or refused.

    \b
    Examples:
      codex model check tiny
      codex model check directory --json

    DIR is a Hugging Face directory, a checkpoint or a model folder of Codex.
    Nothing is downloaded, nothing is executed, and of weights only headers are read.

    \b
    Exit codes: 0 all that is needed is there, 4 something is missing or refused.
    """
    from codex_models import model_places

    kind, rows = model_places.check(folder)
    usable = model_places.is_usable(rows)
    if as_json:
        listed = [{"name": row.name, "state": row.state, "why": row.why} for row in rows]
        fields = {"path": folder.as_posix(), "kind": kind, "usable": usable, "files": listed}
        print_json("codex-model-check/1", fields)
    else:
        click.echo(columns(["file", "state", "note"], [[row.name, row.state, row.why] for row in rows]))
        say(f"{kind}: {'usable' if usable else 'not usable'}")
    if not usable:
        context.exit(int(ExitCode.INPUT))


@model.command(name="make-tiny")
@_out
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Equal seeds, equal bytes."
)
@click.option(
    "--layout",
    type=click.Choice(["codex", "llama"]),
    default="codex",
    show_default=True,
    help="A folder of Codex, or a directory that transformers loads.",
)
@_json
def make_tiny(*, out: Path, seed: int, layout: str, as_json: bool) -> None:
    """Make a tiny untrained model with a tokenizer, for trying things out without a network.

    \b
    Examples:
      codex model make-tiny --out made
      codex model make-tiny --out made --layout llama --seed 7 --json
    """
    from codex_models import model_folder, tiny
    from codex_models.new_folder import new_folder

    with new_folder(out) as folder:
        made = tiny.fill(folder, seed=seed, layout=layout)
    told = model_folder.describe(made)
    if as_json:
        fields = {"path": out.as_posix(), "seed": seed, "layout": layout, "description": told}
        print_json("codex-model-tiny/1", fields)
        return
    click.echo(out.as_posix())
    say(f"{told}; try: codex generate --model {out} --max-new-tokens 8")


@model.command(name="import")
@click.argument("directory", metavar="HF_DIR", type=click.Path(path_type=Path))
@_out
@_json
@click.pass_obj
def import_(session: Any, directory: Path, *, out: Path, as_json: bool) -> None:
    """Read a Hugging Face directory into a model folder of Codex.

    \b
    Examples:
      codex model import directory --out imported
      codex model import directory --out imported --json

    Layouts of Llama, Qwen2, Qwen3 and GPT-2 are read, strictly, and held as float32.
    Where transformers is installed, logits are compared with its own before the folder appears.
    """
    from codex_models.importing import import_directory

    done = import_directory(directory, out, registry=session.registry)
    if as_json:
        print_json("codex-model-import/1", {"path": out.as_posix(), **done.fields()})
        return
    click.echo(out.as_posix())
    for line in done.lines():
        say(line)


@model.command()
@click.argument("reference", metavar="REF")
@_out
@click.option(
    "--layout", type=click.Choice(LAYOUTS), help="The form of the directory; the one that fits, by default."
)
@click.option(
    "--dtype",
    type=click.Choice(DTYPES),
    default="float32",
    show_default=True,
    help="The type that weights are written in.",
)
@_json
@click.pass_obj
def export(session: Any, reference: str, *, out: Path, layout: str | None, dtype: str, as_json: bool) -> None:
    """Write the model of REF as a directory that transformers loads, with a card.

    \b
    Examples:
      codex model export @last --out exported
      codex model export tiny --out exported --layout llama --json

    What was written is read back and compared with the model, logits and token ids, before the folder appears.
    """
    from codex_models.exporting import export_model

    done = export_model(
        reference, out, places=session.places, registry=session.registry, layout=layout, dtype=dtype
    )
    if as_json:
        print_json("codex-model-export/1", {"path": out.as_posix(), **done.fields()})
        return
    click.echo(out.as_posix())
    for line in done.lines():
        say(line)


@model.command(name="list")
@_json
@click.pass_obj
def list_(session: Any, *, as_json: bool) -> None:
    """List models in CODEX_MODELS, CODEX_HOME/models, the project's models/ and its runs.

    \b
    Examples:
      codex model list
      codex model list --json
    """
    import os

    from codex_models import model_places

    found = model_places.models(session.places, environ=os.environ)
    if as_json:
        print_json("codex-model-list/1", {"models": [place.fields() for place in found]})
        return
    rows = [[place.path, place.kind, place.description, size_text(place.size_bytes)] for place in found]
    click.echo(columns(["path", "kind", "model", "size"], rows))


model.add_command(merge)
model.add_command(export_adapter)

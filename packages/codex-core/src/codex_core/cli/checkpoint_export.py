"""`codex checkpoint export`: a model and its tokenizer as a folder that opens by itself."""

from __future__ import annotations

from pathlib import Path

import click

from codex_core.cli.models import find_checkpoint
from codex_core.cli.output import human_bytes, print_json, say
from codex_core.cli.session import Session
from codex_core.running.exporting import export as export_model


@click.command()
@click.argument("reference", metavar="REF")
@click.option("--out", "out", required=True, type=click.Path(path_type=Path), help="The folder; must be new.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def export(session: Session, reference: str, out: Path, as_json: bool) -> None:
    """Take model and tokenizer out of a checkpoint, verified before and after.

    \b
    Examples:
      codex checkpoint export @last --out model

    The folder is what `codex generate --model` and `codex evaluate --checkpoint` open. No training resumes from it.
    """
    written = export_model(find_checkpoint(session, reference), out)
    if as_json:
        facts = {"path": str(out), "digest": written.digest, "bytes": written.size_bytes}
        print_json("codex-checkpoint-export/1", {**facts, "exported_from": written.manifest["exported_from"]})
        return
    num_files = len(written.manifest["files"])
    click.echo(f"{out}: {num_files} files, {human_bytes(written.size_bytes)}, manifest {written.digest}")
    say(f'try it: codex generate --model {out} "Once"')

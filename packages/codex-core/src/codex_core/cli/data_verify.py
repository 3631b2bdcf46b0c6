"""`codex data verify`: read every byte of prepared sets again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from codex_core.cli.output import human_bytes, print_json
from codex_core.cli.session import Session
from codex_core.data.prepare import open_prepared
from codex_core.data.prepared import Prepared
from codex_core.data.store import MANIFEST
from codex_core.errors import ArtefactError


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def verify(session: Session, path: Path, as_json: bool) -> None:
    """Compare every byte of a prepared set, its texts and its tokenizer with their digests.

    \b
    Examples:
      codex data verify .codex/store/tokens/KEY
      codex data verify .codex/store

    PATH is a prepared set, or a store, all of whose sets are then read. Exit code 7 names what differs.
    """
    sets = [open_prepared(path)] if not (path / "tokens").is_dir() else _all(path)
    if as_json:
        print_json("codex-data-verification/1", {"path": str(path), "sets": [_facts(one) for one in sets]})
        return
    for one in sets:
        facts = _facts(one)
        click.echo(
            f"{one.path}: {facts['files']} files, {human_bytes(facts['bytes'])}, manifest {facts['manifest']}"
        )
    click.echo(f"{len(sets)} prepared set{'' if len(sets) == 1 else 's'} verified")


def _all(store: Path) -> list[Prepared]:
    """All sets of a store; raises one `ArtefactError` with everything that differs."""
    sets, wrong = [], []
    for path in sorted((store / "tokens").iterdir()):
        if not (path / MANIFEST).exists():
            continue
        try:
            sets.append(open_prepared(path))
        except ArtefactError as error:
            wrong.append(error)
    if wrong:
        first = wrong[0]
        raise ArtefactError(
            code=first.code,
            what=first.what,
            where=first.where,
            why=first.why,
            fix=first.fix,
            related=wrong[1:],
        )
    return sets


def _facts(prepared: Prepared) -> dict[str, Any]:
    manifests = (prepared.manifest, prepared.texts_manifest)
    return {
        "path": str(prepared.path),
        "fingerprint": prepared.fingerprint,
        "manifest": prepared.manifest_digest,
        "files": sum(len(manifest["files"]) for manifest in manifests),
        "bytes": sum(held["bytes"] for manifest in manifests for held in manifest["files"].values()),
    }

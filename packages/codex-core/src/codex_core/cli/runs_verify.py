"""`codex runs verify`: whether a run directory is what the run wrote, and one digest that stands for all of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import click

from codex_core import runs
from codex_core.cli.output import print_json
from codex_core.cli.session import Session
from codex_core.data.prepare import open_prepared
from codex_core.data.store import folder_of
from codex_core.errors import ArtefactError, ExitCode
from codex_core.running import verifying
from codex_core.running.account import Account, Finding

#: Findings that are shown after the first one.
_MOST_SHOWN = 5


@click.command()
@click.argument("reference", metavar="RUN", default="@last")
@click.option(
    "--data",
    "data_path",
    type=click.Path(path_type=Path),
    help="The folder of the prepared set; by default the store's.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def verify(session: Session, reference: str, data_path: Path | None, as_json: bool) -> int:
    """Work out every digest of RUN again; exit 7 names the first file that is not what the run wrote.

    \b
    Examples:
      codex runs verify
      codex runs verify @last --data .codex/store/tokens/KEY
      codex runs verify @last --json

    The root digest stands for the whole directory: kept elsewhere, it shows a history that was rewritten.
    """
    run = runs.find(reference, session.places)

    def check_data(lock_data: Mapping[str, Any]) -> str | None:
        return _check_data(session, lock_data, data_path)

    account = verifying.verify(run, check_data=check_data)
    if as_json:
        print_json("codex-run-verify/1", _as_values(account, run.path))
        return int(ExitCode.ARTEFACT if account.findings else ExitCode.OK)
    _tell(account)
    if account.findings:
        raise _differs(account.findings, run.path)
    return int(ExitCode.OK)


def _check_data(session: Session, lock_data: Mapping[str, Any], named: Path | None) -> str | None:
    """Open, and so verify, the prepared set that a lock names; a sentence when it is not at hand."""
    path = named or folder_of(session.places.store, "tokens", lock_data["fingerprint"])
    if named is None and not path.is_dir():
        return f"not looked at: {path.name} is not in this store (--data DIR names another place)"
    prepared = open_prepared(path)
    if prepared.manifest_digest != lock_data["manifest_digest"]:
        raise ArtefactError(
            code="RUN-012",
            what="the prepared data is not what the run was started with",
            where=str(path),
            why=f"the lock names {lock_data['manifest_digest']}, this is {prepared.manifest_digest}",
            fix="codex runs verify RUN, without --data",
        )
    return None


def _tell(account: Account) -> None:
    verdict = "differs" if account.findings else "ok"
    click.echo(
        f"{verdict}: run {account.run_id[:8]}, {account.attempts} attempt{'s' if account.attempts > 1 else ''}, "
        f"step {account.steps}, {len(account.covered)} artefacts"
    )
    click.echo(f"root {account.root}")
    for sentence in account.not_covered:
        click.echo(f"not covered: {sentence}")
    for name in account.unaccounted:
        click.echo(f"unaccounted: {name}: no digest of the run is of this file")
    for sentence in verifying.NOT_PROVABLE:
        click.echo(f"not provable here: {sentence}")


def _differs(findings: tuple[Finding, ...], where: Path) -> ArtefactError:
    errors = [
        ArtefactError(
            code="RUN-021",
            what=f"{finding.artefact} is not what the run wrote",
            where=str(where / finding.artefact),
            why=finding.problem,
            fix="restore it from a copy of the run directory",
        )
        for finding in findings[: _MOST_SHOWN + 1]
    ]
    first, *others = errors
    return ArtefactError(
        code=first.code, what=first.what, where=first.where, why=first.why, fix=first.fix, related=others
    )


def _as_values(account: Account, path: Path) -> dict[str, Any]:
    shown = attrs.asdict(account)
    return {**shown, "root": account.root, "path": str(path), "not_provable": list(verifying.NOT_PROVABLE)}

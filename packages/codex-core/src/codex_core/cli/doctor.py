"""`codex doctor`: whether this installation and this machine are in order, and what to do where they are not.

Decisions: rows that are `absent` are optional and no failure; `bad` rows end with exit 1, a requirement that is not
met with exit 6; `--quick` starts no process and writes nothing, so it leaves open what only these can tell.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import attrs
import click

from codex_core import __version__
from codex_core.cli import doctor_machine, doctor_packages
from codex_core.cli.finding import STATES, Finding
from codex_core.cli.output import print_json, say, table
from codex_core.cli.session import Session
from codex_core.errors import CapabilityMissing, ExitCode, UsageError
from codex_core.plugins import listing
from codex_core.plugins.listing import escaped

#: What torch alone can tell; requiring one of them asks it even with `--quick`.
ASKED_OF_TORCH = ("cuda", "bf16")


@click.command()
@click.option("--quick", is_flag=True, help="Start no process and write nothing.")
@click.option(
    "--require",
    "required",
    multiple=True,
    metavar="CAP",
    help="A row that must be ok, such as cuda; repeatable.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def doctor(session: Session, quick: bool, required: tuple[str, ...], as_json: bool) -> int:
    """Check versions, packages, plugins, torch, disks and tools; say cause, effect and fix of what is not in order.

    \b
    Examples:
      codex doctor
      codex doctor --quick --json
      codex doctor --quick --require codex-core

    \b
    Exit codes: 0 in order or merely optional things absent, 1 a row is bad, 6 a required row is not ok.
    """
    findings = look(
        session, quick=quick, ask_torch=not quick or any(one in ASKED_OF_TORCH for one in required)
    )
    unmet = [finding for finding in (_named(findings, name) for name in required) if finding.state != "ok"]
    if as_json:
        rows = [attrs.asdict(finding) for finding in findings]
        names = [finding.name for finding in unmet]
        print_json("codex-doctor/1", {"core": __version__, "quick": quick, "unmet": names, "rows": rows})
    else:
        click.echo(page(findings))
    for finding in unmet:
        say(str(_missing(finding)))
    if unmet:
        return ExitCode.CAPABILITY
    return ExitCode.NO if any(finding.state == "bad" for finding in findings) else ExitCode.OK


def look(session: Session, *, quick: bool, ask_torch: bool) -> list[Finding]:
    """Every row, in the order in which they are shown."""
    return [
        *doctor_packages.look(quick=quick, rows=_rows(session, quick=quick), environ=os.environ),
        *doctor_machine.look(session.places, ask_torch=ask_torch, environ=os.environ),
    ]


def _rows(session: Session, *, quick: bool) -> Sequence[Mapping[str, Any]] | None:
    """The registry's rows: stored ones, or where a look may be taken and stored, new ones."""
    if not quick:
        return [attrs.asdict(row) for row in session.registry.rows]
    held = listing.stored(session.selection(), str(session.places.home))
    if held is None:
        return None
    rows: list[dict[str, Any]] = json.loads(b"[" + held.rows + b"]")
    return rows


def page(findings: Sequence[Finding]) -> str:
    """The table, and below it what is not in order."""
    shown = [[one.area, one.name, one.state, escaped(one.value)] for one in findings]
    lines = [table(["area", "name", "state", "what"], shown)]
    for one in findings:
        if one.state != "ok":
            lines += ["", f"{one.state}: {escaped(one.name)}: {escaped(one.cause or one.value)}"]
            lines += [f"  effect: {escaped(one.effect)}"] if one.effect else []
            lines += [f"  fix: {escaped(one.fix)}"] if one.fix else []
    counts = [f"{sum(one.state == state for one in findings)} {state}" for state in _states(findings)]
    return "\n".join([*lines, "", ", ".join(counts)])


def _states(findings: Sequence[Finding]) -> list[str]:
    return [state for state in STATES if any(one.state == state for one in findings)]


def _named(findings: Sequence[Finding], name: str) -> Finding:
    for finding in findings:
        if finding.name == name:
            return finding
    names = [finding.name for finding in findings]
    near = get_close_matches(name, names, n=3, cutoff=0.5)
    raise UsageError(
        code="CLI-006",
        what=f"doctor has no row {name!r} to require",
        why=f"did you mean {' or '.join(near)}?" if near else f"rows are {', '.join(names)}",
        fix="codex doctor --quick",
    )


def _missing(finding: Finding) -> CapabilityMissing:
    return CapabilityMissing(
        code="CLI-007",
        what=f"{finding.name} is required and is {finding.state}",
        why=finding.cause,
        fix=finding.fix or "codex doctor",
    )

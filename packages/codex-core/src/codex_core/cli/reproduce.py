"""`codex reproduce`: a run executed again from its lock, compared step by step while it runs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from typing import Any

import attrs
import click

from codex_core import config, execute, plan, runs
from codex_core.canonical import digest_of
from codex_core.cli import work
from codex_core.cli.output import print_json, say
from codex_core.cli.session import Session
from codex_core.contracts import PreparedData
from codex_core.errors import ArtefactError, CodexError, ExitCode, InputError
from codex_core.events import ReproductionStarted
from codex_core.execute import RunResult
from codex_core.lock import Lock
from codex_core.running import reference, reproducing
from codex_core.running.comparing import LOOSE, Comparison
from codex_core.running.processors import num_cpus
from codex_core.running.reproducing import Pair
from codex_core.runs import RunDir


@click.command()
@click.argument("run", metavar="RUN", default="@last")
@click.option("--verify", is_flag=True, help="Only compare: remove the repetition unless it differs.")
@click.option("--keep", is_flag=True, help="With --verify: keep the repetition in any case.")
@click.option("--steps", type=click.IntRange(min=1), help="Compare the first so many steps; by default all.")
@click.option(
    "--allow", multiple=True, metavar="ENTRY", help="Go on although this entry of the lock differs here."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def reproduce(
    session: Session,
    run: str,
    verify: bool,
    keep: bool,
    steps: int | None,
    allow: tuple[str, ...],
    as_json: bool,
) -> int:
    """Execute RUN again from its lock, and compare every step; exit 1 names the first that differs.

    \b
    Examples:
      codex reproduce @last
      codex reproduce @last --verify
      codex reproduce @last --verify --steps 5
      codex reproduce @last --verify --keep --json

    What numbers depend on must be as the lock says: exit 6 names what differs, exit 7 what was tampered with.
    """
    with work.noting_failures(session, command="reproduce"):
        found = runs.find(run, session.places)
        told = reference.read(found, reproducing.require_untouched(found))
        session.follow(**_plugins_of(told.lock))
        total = min(told.last, steps or told.last)
        comparison = Comparison(reference=told, total=total, loosely=told.lock.exactness == "L0")
        result, allowed = _repeat(session, found, told, comparison, allow)
    is_removed = verify and not keep and comparison.difference is None
    if is_removed:
        shutil.rmtree(result.run.path)
    if as_json:
        print_json(
            "codex-reproduction/1", _as_values(found, result, comparison, allowed, is_removed=is_removed)
        )
    else:
        _tell(result, comparison, allowed, is_removed=is_removed)
    return _exit_code(result, comparison)


def _plugins_of(lock: Lock) -> dict[str, Any]:
    held = lock.config.get("plugins", {})
    return {name: held[name] for name in ("only", "off", "pins") if name in held}


def _repeat(
    session: Session,
    found: RunDir,
    told: reference.Reference,
    comparison: Comparison,
    allow: tuple[str, ...],
) -> tuple[RunResult, Mapping[str, Pair]]:
    """Execute the run again, when this machine can; what was allowed to differ is recorded in the repetition."""
    reproducing.require_components(told.lock, session.registry)
    with work.surroundings(session) as around:
        differing = reproducing.differences(
            told.lock, environment=around.environment, plugins=session.registry.freeze(), cpus=num_cpus()
        )
        allowed = reproducing.require_equal(differing, allowed=allow, run=found)
        prepared = data_of(session, told.lock)
        say(f"repeating {found.path} up to step {comparison.total}")
        started = ReproductionStarted(
            run_id=found.record()["id"], lock_digest=digest_of(told.lock.as_dict()), allowed=dict(allowed)
        )
        result = execute.reexecute(
            told.parts, around=around, prepared=prepared, started=started, comparison=comparison
        )
    return result, allowed


def data_of(session: Session, lock: Lock) -> PreparedData:
    """The prepared set of a lock: out of the store, else prepared again from the lock's sources.

    Raises `ArtefactError` naming the first source that differs, `InputError` when the sources are not there.
    """
    try:
        return work.open_data(session, lock)
    except InputError as absent:
        say(f"{absent.what}; preparing it again from its sources")
        prepared = _prepared_again(session, lock, absent)
    if prepared.manifest_digest == lock.data["manifest_digest"]:
        return prepared
    raise ArtefactError(
        code="RUN-012",
        what="the sources do not give the data that the run was trained on",
        where=str(prepared.path),
        why=f"the lock names {lock.data['manifest_digest']}, they give {prepared.manifest_digest}",
        fix="restore the sources or the store: codex data verify names what differs",
    )


def _prepared_again(session: Session, lock: Lock, absent: InputError) -> PreparedData:
    safety = lock.components.get("safety", {})
    bypass = safety.get("options", {}).get("bypass_reason")
    try:
        with work.surroundings(session) as around:
            loaded = config.from_mapping(lock.config, source="lock.json", registry=session.registry)
            wanted = plan.make(loaded, session.registry, bypass_reason=bypass, environ=os.environ)
            return work.prepare(session, wanted, around.on_event)
    except CodexError as error:
        raise InputError(
            code="RUN-026",
            what="the data of the run is not in the store, and its sources do not give it again",
            where=error.where or absent.where,
            why=error.what,
            fix="bring the store or the sources here; CODEX_STORE names another store",
        ) from error


def _exit_code(result: RunResult, comparison: Comparison) -> int:
    if comparison.difference is not None:
        return int(ExitCode.NO)
    return result.exit_code


def _tell(
    result: RunResult, comparison: Comparison, allowed: Mapping[str, Pair], *, is_removed: bool
) -> None:
    for path, (there, here) in allowed.items():
        click.echo(f"allowed: {path} was {there!r} and is {here!r}")
    click.echo(verdict(comparison))
    if comparison.difference is None and comparison.step < comparison.total:
        click.echo(f"stopped at step {comparison.step}: {result.reason}")
    click.echo("the repetition was removed" if is_removed else f"run: {result.run.path}")


def verdict(comparison: Comparison) -> str:
    """What was found, in one or two lines."""
    difference, total = comparison.difference, comparison.total
    if comparison.loosely:
        return _loose_verdict(comparison)
    equal = f"identical for {len(comparison.compared)} of {total} steps"
    if difference is not None:
        return f"differs at step {difference.step} of {total}: {difference.text()}\n{equal}, all before it"
    if not comparison.reference.digests:
        return f"{equal}: metric rows only, because the run recorded no digests of its steps"
    return equal


def _loose_verdict(comparison: Comparison) -> str:
    difference, total = comparison.difference, comparison.total
    about = f"L0 promises no equal bits: losses are compared within {LOOSE:.0%}"
    if difference is not None:
        return f"differs at step {difference.step} of {total}: {difference.text()}\n{about}"
    near = f"losses agree for {len(comparison.compared)} of {total} steps, the farthest by {comparison.largest:.2%}"
    return f"{near}\n{about}"


def _as_values(
    found: RunDir,
    result: RunResult,
    comparison: Comparison,
    allowed: Mapping[str, Pair],
    *,
    is_removed: bool,
) -> dict[str, Any]:
    difference = comparison.difference
    return {
        "run": str(found.path),
        "repetition": None if is_removed else str(result.run.path),
        "status": result.status,
        "exactness": comparison.reference.lock.exactness,
        "identical": difference is None and comparison.step >= comparison.total,
        "compared": len(comparison.compared),
        "total": comparison.total,
        "rows": comparison.rows,
        "has_digests": bool(comparison.reference.digests),
        "difference": None if difference is None else attrs.asdict(difference),
        "allowed": {path: list(pair) for path, pair in allowed.items()},
        "verdict": verdict(comparison).splitlines(),
    }

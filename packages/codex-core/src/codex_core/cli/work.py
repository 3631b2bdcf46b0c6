"""From a configuration to a plan, and from a plan to a run: what `train`, `plan` and `demo` share.

This is where rooms meet: preparation comes from `data`, scoring from `evaluation`, and both go into `execute` as
functions.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

from codex_core import execute, plan
from codex_core.cli.output import say
from codex_core.cli.progress import Display
from codex_core.cli.session import Session
from codex_core.contracts import Emit, PreparedData
from codex_core.data import estimate as estimating
from codex_core.data import prepare as data_room
from codex_core.data.estimate import EstimatedData
from codex_core.data.prepared import Prepared
from codex_core.data.store import folder_of
from codex_core.errors import InputError
from codex_core.evaluation.runner import evaluate_split
from codex_core.execute import RunResult, Surroundings
from codex_core.lock import Lock, Plan
from codex_core.places import Places
from codex_core.running import project_journal
from codex_core.running.environment import collect
from codex_core.running.signals import listening
from codex_core.runs import RunDir
from codex_core.scrub import Scrubber


def make_plan(
    session: Session,
    path: Path | None,
    overrides: Sequence[str] = (),
    *,
    preset: str | None = None,
    seed: int | None = None,
    bypass_safety: str | None = None,
) -> Plan:
    """Load a configuration and resolve its names; raises with every mistake at once."""
    loaded = session.configuration(path, overrides, preset=preset, seed=seed)
    return plan.make(loaded, session.registry, bypass_reason=bypass_safety, environ=os.environ)


@contextmanager
def surroundings(session: Session) -> Iterator[Surroundings]:
    """What a run needs from this process: registry, places, a display, signals, environment, command line."""
    scrub = Scrubber.of(os.environ)
    with Display.of(session.flags) as display, listening(_tell_of_signal) as stop:
        yield Surroundings(
            registry=session.registry,
            places=session.places,
            evaluate=evaluate_split,
            on_event=display,
            stop=stop,
            environment=environment(scrub),
            scrub=scrub,
            environ=os.environ,
        )


@contextmanager
def noting_failures(session: Session, *, command: str) -> Iterator[None]:
    """One row in the project's journal for whatever goes wrong within."""
    try:
        yield
    except BaseException as error:  # signals are failures worth a row, too; raised again
        project_journal.note_failure(session.places, error, command=command)
        raise


def environment(scrub: Scrubber) -> dict[str, Any]:
    """What `environment.json` tells: machine, versions, and the command line without secrets."""
    return {
        **collect(environ=os.environ, folder=Path.cwd()),
        "command": ["codex", *scrub.command(sys.argv[1:])],
    }


def start(session: Session, asked: Plan, *, run_dir: Path | None = None) -> RunResult:
    """Train what a plan asks for, in a new run."""
    plan.require_usable(asked)
    _note_bypass(session, asked)
    with surroundings(session) as around:
        return execute.run(
            asked,
            around=around,
            prepare=lambda wanted: prepare(session, wanted, around.on_event),
            run_dir=run_dir,
        )


def resume(
    session: Session,
    folder: RunDir,
    *,
    checkpoint: Path | None,
    asked: Plan | None,
    without: Collection[str] = (),
) -> RunResult:
    """Continue a run in a new attempt, with the plugins that the configuration asks for, else the run's lock."""
    if asked is not None:
        plan.require_usable(asked)
    else:
        plugins = folder.lock().config.get("plugins", {})
        session.follow(**{name: plugins[name] for name in ("only", "off", "pins") if name in plugins})
    with surroundings(session) as around:
        return execute.resume(
            folder,
            around=around,
            open_data=lambda lock: open_data(session, lock),
            checkpoint=checkpoint,
            asked=asked,
            without=without,
        )


def prepare(
    session: Session,
    asked: Plan,
    on_event: Emit,
    *,
    workers: int | None = None,
    store: Path | None = None,
) -> Prepared:
    """Prepare the plan's data, or find it prepared; with as many processes as processors if nothing is said."""
    return data_room.prepare(
        asked,
        registry=session.registry,
        places=places(session, store),
        on_event=on_event,
        workers=processes(workers),
    )


def estimate(session: Session, asked: Plan, on_event: Emit) -> EstimatedData:
    """What preparing the plan's data would give, out of a sample; nothing is stored."""
    return EstimatedData.of(estimating.estimate(asked, registry=session.registry, on_event=on_event))


def processes(asked: int | None) -> int:
    """How many processes share the work: as asked, else the processors that this process may use."""
    if asked is not None:
        return asked
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def places(session: Session, store: Path | None) -> Places:
    """The session's places, with another store if one was named."""
    return session.places if store is None else attrs.evolve(session.places, store=store.absolute())


def open_data(session: Session, lock: Lock) -> PreparedData:
    """The prepared set that a lock names, from this project's store."""
    return open_fingerprint(session, lock.data["fingerprint"])


def open_fingerprint(session: Session, fingerprint: str) -> PreparedData:
    """The prepared set with this fingerprint, from this project's store; `InputError` when it is not there."""
    path = folder_of(session.places.store, "tokens", fingerprint)
    if not path.is_dir():
        raise InputError(
            code="RUN-019",
            what="the prepared data of this run is not in the store",
            where=str(path),
            why=f"looked for {fingerprint}; CODEX_STORE names another store",
            fix="codex data prepare RUN/config.yaml",
        )
    return data_room.open_prepared(path)


def _note_bypass(session: Session, asked: Plan) -> None:
    """An audit row for a training whose safety was switched off by flag."""
    safety = asked.choices.get("safety")
    if safety is not None and (reason := safety.options.get("bypass_reason")):
        project_journal.append(session.places, "safety_bypassed", {"command": "train", "reason": reason})
        say(f"safety bypassed: {reason}")


def _tell_of_signal(number: int) -> None:
    say("stopping after this step; a second signal stops at once")

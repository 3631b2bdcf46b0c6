"""What a resume may change, and what it found changed.

Decisions: more (or fewer) steps, retention, evaluation, logging, writers and telemetry may change between attempts,
and trainer options that their class marks `resumable`; everything else is another run. Versions and environment
are not asked for but happen: they are told, never refused here.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from codex_core import checkpoints
from codex_core.contracts import Emit
from codex_core.errors import ArtefactError, CapabilityMissing, InputError, UsageError
from codex_core.events import Event, RunResumed, Warned
from codex_core.journal import History
from codex_core.lock import Lock, Plan
from codex_core.plugins import frozen
from codex_core.running.checkpoint_files import Checkpoint
from codex_core.running.processes import Process
from codex_core.runs import ENDED_WELL, RunDir

#: Paths of a lock that follow from others or from the command; they are neither refused nor listed.
_DERIVED = re.compile(
    r"name|config_hash|exactness|epochs|tokens|log_every|evaluate_every|save_every|durations\..*|memory.*|disk_bytes"
    r"|estimated.*|notes.*|environment\.command.*|data\.safety.*|components\.(writers|evaluation)\b.*"
)

#: How a path of a lock begins or goes on where the configuration's does not.
_OF_CONFIG = re.compile(r"^config\.(.*)$|^components\.(.*)\.options(\..*)$")

#: What happens to a machine between attempts.
_DRIFT = re.compile(r"environment\..*|components\..*\.version")

#: What a user may ask for on a resume.
_FREE = re.compile(
    r"steps|config\.(run\.(name|log_every|digest_every|max_rollbacks)|checkpoint\..*|evaluation\..*|writers.*|telemetry.*|plugins.*)"
)


@attrs.frozen
class Changes:
    """Paths that differ between two locks, as (before, after): `asked` by the user, `drift` of the machine."""

    asked: Mapping[str, tuple[Any, Any]]
    drift: Mapping[str, tuple[Any, Any]]


def compare(
    before: Lock, after: Lock, *, resumable: Collection[str] = (), defaults: Collection[str] = ()
) -> Changes:
    """How `after` differs from `before`; raises `UsageError` for what a resume cannot change.

    `resumable` are the trainer's options that may change; `duration` always may. `defaults` are the paths of the
    configuration at which nobody wrote anything: what a later version added there is no change.
    """
    old, new = (flat({**lock.as_dict(), "plugins": None}) for lock in (before, after))
    options = {f"config.trainer.{name}" for name in {"duration", *resumable}}
    follow = {path.replace("config.trainer", "components.trainer.options") for path in options}
    asked, drift, refused = {}, {}, {}
    for path in sorted(old.keys() | new.keys()):
        pair = (old.get(path), new.get(path))
        if pair[0] == pair[1] or path in follow or _DERIVED.fullmatch(path):
            continue
        if path not in old and _config_path(path) in defaults:
            continue
        if path in options or _FREE.fullmatch(path) or _gives_up_promise(path, *pair):
            asked[path.removeprefix("config.")] = pair
        elif _DRIFT.fullmatch(path):
            drift[path] = pair
        else:
            refused[path] = pair
    if refused:
        raise _not_resumable(refused)
    return Changes(asked, drift | plugin_drift(before, after.plugins))


def _config_path(path: str) -> str:
    """The path in a configuration of what stands at a path of a lock.

    >>> _config_path("components.trainer.options.lr"), _config_path("config.run.seed")
    ('trainer.lr', 'run.seed')
    """
    match = _OF_CONFIG.fullmatch(path)
    return "".join(part for part in match.groups() if part) if match else path


def _gives_up_promise(path: str, before: Any, after: Any) -> bool:
    """Whether a change lowers the level of exactness; what was not promised from the start never can be."""
    return path == "config.run.exactness" and str(after) < str(before)


def drift(lock: Lock, environment: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """What differs between the environment of a lock and the present one."""
    old, new = flat(lock.environment, "environment"), flat(environment, "environment")
    paths = sorted(old.keys() | new.keys())
    return {
        path: (old.get(path), new.get(path))
        for path in paths
        if old.get(path) != new.get(path) and not _DERIVED.fullmatch(path)
    }


def require_threads(lock: Lock, environment: Mapping[str, Any], *, cpus: int) -> list[Event]:
    """What there is to tell of the thread count of a lock on this machine.

    More threads than processors are slow and compute the same; raises `CapabilityMissing` where the environment
    lets OpenMP take fewer threads than a lock says, because then the count is not what the numbers came from.
    """
    variables: Mapping[str, str] = environment.get("variables", {})
    limit = variables.get("OMP_THREAD_LIMIT", "")
    cut = f"OMP_THREAD_LIMIT is {limit}" if limit.isdecimal() and int(limit) < lock.threads else None
    if lock.threads > 1 and variables.get("OMP_DYNAMIC", "").lower() in ("true", "1"):
        cut = "OMP_DYNAMIC lets the number of threads change while a program runs"
    if cut is not None and lock.exactness != "L0":
        raise CapabilityMissing(
            code="RUN-027",
            what=f"exactness {lock.exactness} cannot hold with {lock.threads} threads: {cut}",
            where="run.threads",
            why="sums are split by threads, so another number of threads gives other bits",
            fix="unset the variable, set run.threads to what it allows, or run.exactness=L0",
        )
    if lock.threads > cpus:
        text = f"run.threads is {lock.threads} and this process may use {cpus} processors: the same numbers, slower"
        return [Warned(code="RUN-030", text=text)]
    return []


def require_plugins(lock: Lock, present: Sequence[Mapping[str, Any]], *, asked: Plan | None) -> None:
    """Raise `MissingDependency` when a plugin that gave the run a component is not installed any more.

    What `asked` has dropped (a metric, a writer) is not needed any more.
    """
    wanted = None if asked is None else {choice.id for choice in asked.choices.values()}
    ids = [id for id in _ids(lock) if wanted is None or id in wanted]
    gone = frozen.missing(frozen.offering(lock.plugins, ids), {one["dist"] for one in present})
    if gone is not None:
        raise gone


def plugin_drift(lock: Lock, present: Sequence[Mapping[str, Any]]) -> dict[str, tuple[Any, Any]]:
    """How the plugins that a run imports differ from those that its lock froze; others may come and go."""
    old, new = frozen.imported(lock.plugins, _ids(lock)), frozen.imported(present, _ids(lock))
    told = {}
    for change in frozen.compare(old, new):
        after = change.after or "not installed"
        if change.names and change.before == change.after:
            after = f"{after} with other parts ({', '.join(change.names)})"
        told[f"plugins.{change.plugin}"] = (change.before or "not installed", after)
    return told


def _ids(lock: Lock) -> list[str]:
    return [str(held.get("id")) for held in lock.components.values()]


def resumable_options(options: type | None) -> list[str]:
    """The names of an options class that are marked `resumable`."""
    fields = attrs.fields(options) if options is not None and attrs.has(options) else ()
    return [field.name for field in fields if field.metadata.get("resumable")]


def choose(run: RunDir, lock: Lock, asked: Path | None, *, emit: Emit) -> Checkpoint | None:
    """The checkpoint to continue from: the one asked for, else the newest that verifies.

    None, told aloud, when the run ended before it saved any. Raises `ArtefactError` when the one asked for does
    not verify or does not belong to the run, or when there are some and none verifies.
    """
    if asked is not None:
        found = checkpoints.verify(asked)
    elif checkpoints.committed(run.checkpoints) or (run.checkpoints / checkpoints.POINTER).exists():
        found = checkpoints.newest(run.checkpoints, emit=emit)
    else:
        text = "no checkpoint had been saved; the run starts again from step 0"
        emit(Warned(code="CKP-001", text=text))
        return None
    require_same_origin(found, lock, run_id=run.record()["id"])
    return found


def require_work(run: RunDir, lock: Lock, parent: Checkpoint | None) -> None:
    """Raise when nothing is left to do (`InputError`), or less than nothing (`UsageError`)."""
    step = 0 if parent is None else parent.step
    if step > lock.steps:
        raise UsageError(
            code="RUN-007",
            what=f"the run is at step {step} already; it cannot end at step {lock.steps}",
            where=str(run.path),
            fix="ask for more steps, or resume from an older checkpoint: codex checkpoint list RUN",
        )
    if step == lock.steps and run.record()["status"] in ENDED_WELL:
        raise InputError(
            code="RUN-006",
            what=f"the run is finished: all {lock.steps} steps are done",
            where=str(run.path),
            fix="to train longer, resume with a longer trainer.duration",
        )


def warnings(run: RunDir, stale: Process | None, changes: Changes, history: History) -> list[Event]:
    """What a resume finds and tells: how the last attempt died, what the machine changed, a damaged journal."""
    told: list[Event] = [Warned(code="JRN-002", text=problem) for problem in history.problems]
    if stale is not None:
        told.insert(0, Warned(code="RUN-017", text=f"{stale} left this run: {stale.cause_of_death()}"))
    for path, (old, new) in changes.drift.items():
        told.append(Warned(code="RUN-013", text=f"{path} was {old!r} and is {new!r}"))
    return told


def flat(value: Any, path: str = "") -> dict[str, Any]:
    """Nested plain values by dotted path; lists by position.

    >>> flat({"a": {"b": [1, 2]}})
    {'a.b[0]': 1, 'a.b[1]': 2}
    """
    return dict(_walk(value, path))


def _walk(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, held in value.items():
            yield from _walk(held, f"{path}.{key}" if path else str(key))
    elif isinstance(value, (list, tuple)):
        for index, held in enumerate(value):
            yield from _walk(held, f"{path}[{index}]")
    else:
        yield path, value


def require_same_origin(checkpoint: Checkpoint, lock: Lock, *, run_id: str) -> None:
    """Raise `ArtefactError` when a checkpoint is of another run, or stands on other data or components."""
    manifest = checkpoint.manifest
    pairs = {
        "run": (manifest["run"]["id"], run_id),
        "prepared data": (manifest["data"].get("manifest_digest"), lock.data.get("manifest_digest")),
    }
    for section in ("tokenizer", "model", "trainer"):
        held = manifest["components"].get(section, {}).get("id")
        pairs[section] = (held, lock.components.get(section, {}).get("id"))
    for what, (held, wanted) in pairs.items():
        if held != wanted:
            raise ArtefactError(
                code="CKP-007",
                what=f"the checkpoint {checkpoint.path.name} does not belong to this run: another {what}",
                where=str(checkpoint.path),
                why=f"it says {held}, the lock says {wanted}",
                fix="resume the run that it was saved by, or choose another: codex checkpoint list RUN",
            )


def resumed(parent: Checkpoint | None, lock: Lock, changes: Changes) -> RunResumed:
    """The event that says where an attempt continues, and what differs."""
    return RunResumed(
        parent="" if parent is None else f"checkpoints/{parent.path.name}",
        parent_digest="" if parent is None else parent.digest,
        step=0 if parent is None else parent.step,
        changes=dict(changes.asked),
        summary=summary(parent, lock, changes),
    )


def summary(checkpoint: Checkpoint | None, lock: Lock, changes: Changes) -> str:
    """What a resume tells at its start: step, epoch, the newest numbers, the checkpoint and its digest, changes."""
    if checkpoint is None:
        told = f"resumed from step 0 of {lock.steps}: the run ended before its first checkpoint"
    else:
        epoch = lock.epochs * checkpoint.step / lock.steps if lock.steps else 0.0
        told = f"resumed from checkpoints/{checkpoint.path.name} at step {checkpoint.step} of {lock.steps}"
        told += f", epoch {epoch:.2f} ({checkpoint.digest})"
        for split, row in checkpoint.manifest["metrics"].items():
            numbers = [f"{name} {value:.5g}" for name, value in row.items() if isinstance(value, float)]
            told += f"; {split} at step {row['step']}: {', '.join(numbers)}" if numbers else ""
    for path, (old, new) in changes.asked.items():
        told += f"; {path}: {_short(old)} -> {_short(new)}"
    return told


def _short(value: Any) -> str:
    """A value in one line, long lists by their beginning."""
    if not isinstance(value, (list, tuple)):
        return str(value)
    more = f" and {len(value) - 5} more" if len(value) > 5 else ""
    return f"{', '.join(map(str, value[:5])) or 'none'}{more}"


def _not_resumable(refused: Mapping[str, tuple[Any, Any]]) -> UsageError:
    errors = [
        UsageError(
            code="RUN-007",
            what=f"a resume cannot change {path}: {old!r} -> {new!r}",
            where=path,
            why="steps, retention, evaluation, logging, writers, telemetry and resumable trainer options can change",
            fix="set it back, or start a new run: codex train FILE",
        )
        for path, (old, new) in refused.items()
    ]
    first, *others = errors
    return UsageError(
        code=first.code, what=first.what, where=first.where, why=first.why, fix=first.fix, related=others
    )

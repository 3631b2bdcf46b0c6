"""`codex reproduce`: whether a run can be executed again here to the same bits.

Decisions: first the run itself is looked at (a journal or a lock that changed is exit 7, with the entry), then this
machine against the lock: what numbers depend on (versions, processor, thread count, the plugins that give its
components) must be equal or be allowed by name, which is recorded; everything else may differ. What cannot hold is
exit 6, with every entry and both values.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from codex_core import journal as journals
from codex_core.errors import ArtefactError, CapabilityMissing, UsageError
from codex_core.journal import History
from codex_core.lock import Lock
from codex_core.running import binding
from codex_core.running.locked import kind_of
from codex_core.running.resuming import flat
from codex_core.running.verifying import lock_problem
from codex_core.runs import RunDir

if TYPE_CHECKING:
    from codex_core.registry import Registry

#: Entries of an environment that numbers depend on.
_DECISIVE = re.compile(
    r"environment\.(python|implementation|machine|packages\..*|hardware\.(cpu|isa|devices?\b.*|gpus?\b.*)"
    r"|variables\.(ATEN_CPU_CAPABILITY|CUBLAS_WORKSPACE_CONFIG|MKL_CBWR|OMP_DYNAMIC|OMP_THREAD_LIMIT"
    r"|ONEDNN_MAX_CPU_ISA))"
)

#: Packages that only made the prepared set, which has a digest of its own, or that watch.
_IDLE_PACKAGES = ("codex-safety", "codex-telemetry", "codex-tokenizers", "tokenizers")

#: Sections whose components compute; what sources, tokenizer and policy gave is in the prepared set, by its digest.
_COMPUTING = ("model", "trainer", "evaluation.metrics")

Pair = tuple[Any, Any]


def require_untouched(run: RunDir) -> History:
    """The journal of a run; raises `ArtefactError` when it or a lock is not what the run wrote, naming the entry."""
    history = journals.verify(run.journal)
    bound = {
        record.attempt: record.fields["entries"] for record in history.records if record.kind == "files_bound"
    }
    for record in history.records:
        if record.kind != "run_started":
            continue
        path = binding.in_force(run.path, "lock.json", record.attempt, last=history.attempt)
        entries = bound.get(record.attempt, {})
        problem = lock_problem(path, record.fields["lock_digest"], entries=entries)
        if problem is not None:
            raise ArtefactError(
                code="RUN-021",
                what=f"{path.name} is not what the run wrote",
                where=_place(run, path.name, entries),
                why=problem,
                fix="restore it from a copy of the run directory; codex runs verify RUN looks at everything",
            )
    return history


def _place(run: RunDir, name: str, entries: Mapping[str, str]) -> str:
    try:
        changed = binding.changed_entries(json.loads((run.path / name).read_bytes()), entries)
    except (OSError, ValueError, AttributeError):
        changed = []
    return ", ".join([str(run.path / name), *(changed[:5] if entries else [])])


def require_components(lock: Lock, registry: Registry) -> None:
    """Raise `MissingDependency` for a component that computes and that cannot be used here, with its install line."""
    for section, held in lock.components.items():
        if section.startswith(_COMPUTING):
            registry.find(kind_of(section), str(held["id"]))


def differences(
    lock: Lock, *, environment: Mapping[str, Any], plugins: Sequence[Mapping[str, Any]], cpus: int
) -> dict[str, Pair]:
    """The entries of a lock that numbers depend on and that are otherwise here, as (in the lock, here)."""
    old, new = flat(lock.environment, "environment"), flat(environment, "environment")
    found = {
        path: (old.get(path), new.get(path))
        for path in sorted(old.keys() | new.keys())
        if old.get(path) != new.get(path) and _DECISIVE.fullmatch(path) and _is_comparable(path, old)
    }
    if lock.threads > cpus:
        found["threads"] = (lock.threads, cpus)
    return found | _plugin_differences(lock, plugins)


def _is_comparable(path: str, old: Mapping[str, Any]) -> bool:
    """Whether an entry says something: what a lock never recorded does not, nor does a package that never computes."""
    parent, _, name = path.rpartition(".")
    if parent == "environment.packages" and name in _IDLE_PACKAGES:
        return False
    return path in old or parent == "environment.variables"


def _plugin_differences(lock: Lock, present: Sequence[Mapping[str, Any]]) -> dict[str, Pair]:
    """Components of the lock whose plugin has another version here, or describes them otherwise."""
    found = {}
    for section, held in lock.components.items():
        id = str(held["id"])
        if not section.startswith(_COMPUTING):
            continue
        there, here = (_offer(plugins, section, id) for plugins in (lock.plugins, present))
        if there is not None and there != here:
            found[f"plugins.{id}"] = (_told(there), _told(here))
    return found


def _offer(plugins: Sequence[Mapping[str, Any]], section: str, id: str) -> tuple[str, str] | None:
    """Version and digest of a component among frozen plugins."""
    dist, _, name = id.partition("/")
    key = f"{kind_of(section)}/{name}"
    for plugin in plugins:
        if plugin["dist"] == dist and key in plugin["components"]:
            return str(plugin["version"]), str(plugin["components"][key])
    return None


def _told(offer: tuple[str, str] | None) -> str:
    return "not installed" if offer is None else f"{offer[0]} ({offer[1][:15]})"


def require_equal(found: Mapping[str, Pair], *, allowed: Collection[str], run: RunDir) -> dict[str, Pair]:
    """The differences that are allowed, by entry or by what entries begin with.

    Raises `CapabilityMissing` naming all others, and `UsageError` for something allowed that does not differ.
    """

    def covers(entry: str, path: str) -> bool:
        return path == entry or path.startswith((f"{entry}.", f"{entry}["))

    if idle := [entry for entry in allowed if not any(covers(entry, path) for path in found)]:
        raise UsageError(
            code="RUN-025",
            what=f"{idle[0]} does not differ, so it cannot be allowed to",
            where="--allow",
            why=f"entries that differ: {', '.join(found) or 'none'}",
            fix="codex reproduce RUN, without it",
        )
    refused = {
        path: pair for path, pair in found.items() if not any(covers(entry, path) for entry in allowed)
    }
    if refused:
        raise _cannot_hold(refused, run)
    return dict(found)


def _cannot_hold(refused: Mapping[str, Pair], run: RunDir) -> CapabilityMissing:
    errors = [
        CapabilityMissing(
            code="RUN-024",
            what=f"the run cannot be repeated to the bit here: {path} was {there!r} and is {here!r}",
            where=f"{run.path / 'lock.json'}, {path}",
            why="numbers depend on it",
            fix=f"make it equal, or compare anyway, on the record: codex reproduce RUN --allow {path}",
        )
        for path, (there, here) in refused.items()
    ]
    first, *others = errors
    return CapabilityMissing(
        code=first.code, what=first.what, where=first.where, why=first.why, fix=first.fix, related=others
    )

"""What a run recorded of its steps, as another execution has to repeat it.

Decisions: of each step the newest record counts, as in the metric views; a run whose attempts computed with different
settings (more steps, another policy) is repeated in as many parts, each with the lock that was in force; settings
that no number depends on (retention, writers, the environment) make no part of their own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from codex_core.canonical import digest_of
from codex_core.errors import InputError
from codex_core.journal import History
from codex_core.lock import Lock
from codex_core.running import binding
from codex_core.running.leaving_out import WITHOUT
from codex_core.running.views import MetricRows, Row
from codex_core.runs import RunDir

#: Entries of a lock that no number of a training depends on.
_IDLE = frozenset(
    ("name", "config_hash", "environment", "plugins", "config", "notes", "epochs", "tokens", "save_every")
) | {"memory", "disk_bytes", "estimated"}

#: Steps whose rows are a metric row of training or of an evaluation.
Key = tuple[int, str]


@attrs.frozen
class Part:
    """Steps up to `until` (0: to the end) that were computed with one lock."""

    lock: Lock
    until: int = 0


@attrs.frozen(kw_only=True)
class Reference:
    """Step digests by step, metric rows by step and split, and the parts in which they were computed."""

    parts: tuple[Part, ...]
    digests: Mapping[int, Mapping[str, Any]]
    rows: Mapping[Key, Row]

    @property
    def last(self) -> int:
        """The last step of which anything is recorded."""
        return max([*self.digests, *(step for step, _ in self.rows)], default=0)

    @property
    def lock(self) -> Lock:
        """The lock of the newest part."""
        return self.parts[-1].lock


def read(run: RunDir, history: History) -> Reference:
    """What a run recorded; raises `InputError` when there is no step to repeat."""
    digests: dict[int, Mapping[str, Any]] = {}
    for record in history.records:
        if record.kind == "run_resumed":
            digests = {step: held for step, held in digests.items() if step <= record.fields["step"]}
        elif record.kind == "step_digest":
            digests[record.fields["step"]] = record.fields
    rows = MetricRows.of(history.records).rows()
    reference = Reference(
        parts=tuple(_parts(run, history)),
        digests=digests,
        rows={(row["step"], row["split"]): row for row in rows},
    )
    if reference.last == 0:
        raise InputError(
            code="RUN-006",
            what="the run recorded no step; there is nothing to repeat",
            where=str(run.path),
            fix="codex runs show RUN",
        )
    return reference


def _parts(run: RunDir, history: History) -> Iterator[Part]:
    """The parts in order; an attempt that resumed at step s takes over from there."""
    begins: list[tuple[int, int]] = []
    for record in history.records:
        if record.kind == "run_resumed":
            begins = [held for held in begins if held[1] < record.fields["step"]]
            begins.append((record.attempt, record.fields["step"]))
        elif record.kind == "run_started" and not begins:
            begins.append((record.attempt, 0))
    locks = [_lock_of(run, attempt, last=history.attempt) for attempt, _ in begins]
    steps = [*(step for _, step in begins[1:]), 0]
    without = locks[-1].data.get(WITHOUT) if locks else None
    for number, (lock, until) in enumerate(zip(locks, steps, strict=True)):
        if number + 1 < len(locks) and _numbers_of(lock) == _numbers_of(locks[number + 1]):
            continue
        # What was left out later was left out from a later row on, so the newest lock tells of all rows.
        yield Part(attrs.evolve(lock, data={**lock.data, WITHOUT: without}) if without else lock, until)


def _lock_of(run: RunDir, attempt: int, *, last: int) -> Lock:
    path = binding.in_force(run.path, "lock.json", attempt, last=last)
    return Lock.from_dict(json.loads(path.read_bytes()))


def _numbers_of(lock: Lock) -> str:
    """A digest of everything in a lock that numbers depend on."""
    values = {name: value for name, value in lock.as_dict().items() if name not in _IDLE}
    idle = (WITHOUT, "safety")  # the latter tells what was done before: it is in the fingerprint, too
    values["data"] = {name: value for name, value in lock.data.items() if name not in idle}
    values["components"] = {
        name: held for name, held in lock.components.items() if not name.startswith("writers")
    }
    values["durations"] = {
        name: steps for name, steps in lock.durations.items() if name.startswith(("trainer.", "evaluation."))
    }
    values["evaluation"] = lock.config.get("evaluation")
    return digest_of(values)

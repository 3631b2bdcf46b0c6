"""The first stage at work: lots read by several processes, then put together as one folder of texts.

Decision: helpers build datasets and policy from what the plan chose, so nothing of this process's objects is shared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from codex_core.contracts import Emit
from codex_core.data import crew, texts
from codex_core.data.intake import Policy, TextsPlan
from codex_core.data.jobs import Job, job_path, missing
from codex_core.data.parts import refuse_too_many
from codex_core.data.selection import Selection, select
from codex_core.data.sources import Source, refuse_changed
from codex_core.data.store import Stored
from codex_core.data.text_parts import FORMAT, Lot, TextPart, lots_digest, lots_of, write_lot
from codex_core.events import ProgressMade
from codex_core.files import Files

KIND = "texts"


@attrs.frozen(kw_only=True)
class ReadLot:
    """The task of reading a lot into the job; gives the rows read."""

    plan: TextsPlan
    lots: tuple[Lot, ...]
    job: Job

    def __call__(self, number: int) -> int:
        """Read lot `number` unless it was read before."""
        lot = self.lots[number]
        stored, _ = self.job.obtain(
            number, lambda folder: write_lot(folder, self.plan, lot, files=self.job.files)
        )
        rows: int = stored.manifest["read"]
        return rows

    def __reduce__(self) -> tuple[Any, ...]:
        plan = self.plan
        sources = [(one.id, one.recipe, one.identity) for one in plan.sources]
        policy = plan.policy and (plan.policy.id, plan.policy.recipe, plan.policy.fingerprint)
        rest = {"splitter": plan.splitter, "dedup": plan.dedup, "unsupervised": plan.unsupervised}
        return _rebuilt, (sources, policy, rest, self.lots, self.job)


def _rebuilt(
    sources: list[tuple[str, Any, Mapping[str, Any]]],
    policy: tuple[str, Any, str] | None,
    rest: dict[str, Any],
    lots: tuple[Lot, ...],
    job: Job,
) -> ReadLot:
    """The task in another process."""
    plan = TextsPlan(
        sources=tuple(
            Source(id=id, dataset=recipe[0](recipe[1]), identity=identity, recipe=recipe)
            for id, recipe, identity in sources
        ),
        policy=policy
        and Policy(id=policy[0], policy=policy[1][0](policy[1][1]), fingerprint=policy[2], recipe=policy[1]),
        **rest,
    )
    return ReadLot(plan=plan, lots=lots, job=job)


class Reading:
    """The lots of a plan and the job that collects them."""

    def __init__(self, *, plan: TextsPlan, lots: tuple[Lot, ...], job: Job) -> None:
        self.plan = plan
        self.lots = lots
        self.job = job
        self._selection: Selection | None = None

    @property
    def path(self) -> Path:
        """The folder of the job."""
        return self.job.path

    def read(self, numbers: Sequence[int], *, workers: int, on_event: Emit) -> None:
        """Read these lots, those that were read before excepted. Raises for the first row that is wrong."""
        done = 0

        def on_done(rows: int) -> None:
            nonlocal done
            done += rows
            on_event(ProgressMade(phase="read", done=done))

        task = ReadLot(plan=self.plan, lots=self.lots, job=self.job)
        crew.run(task, numbers, workers=workers, on_done=on_done, on_event=on_event)
        for number, source in enumerate(self.plan.sources):
            refuse_changed(number, source)

    def missing(self) -> list[int]:
        """The lots that nobody has read yet."""
        return [number for number in range(len(self.lots)) if not self.job.has(number)]

    def part(self, number: int) -> TextPart:
        """One lot, verified."""
        stored = self.job.verified(number)
        return TextPart(stored.path, stored.manifest)

    def parts(self) -> list[TextPart]:
        """All lots, verified; raises `InputError` when one is missing."""
        if absent := self.missing():
            raise missing(absent, total=len(self.lots), path=self.path)
        stored = [self.job.verified(number) for number in range(len(self.lots))]
        self._refuse_too_many(stored)
        return [TextPart(one.path, one.manifest) for one in stored]

    def select(self, *, files: Files) -> Selection:
        """What becomes of all rows; found out once."""
        if self._selection is not None:
            return self._selection
        scratch = self.path / "scratch"
        scratch.mkdir(parents=True, exist_ok=True)
        self._selection = select(self.parts(), self.plan, scratch=scratch, files=files)
        return self._selection

    def write(self, folder: Path, selection: Selection, *, on_event: Emit, files: Files) -> dict[str, Any]:
        """Put the lots together."""
        return texts.write_texts(folder, self.plan, selection, on_event=on_event, files=files)

    def _refuse_too_many(self, stored: Sequence[Stored]) -> None:
        for number, source in enumerate(self.plan.sources):
            skipped: Counter[str] = Counter()
            for one in stored:
                if one.manifest["source"] == number:
                    skipped.update(one.manifest["skipped"])
            refuse_too_many(source.dataset, skipped)


def reading_of(plan: TextsPlan, *, store: Path, files: Files) -> Reading:
    """Cut the inputs of a plan into lots; raises `InputError` for inputs that are not there."""
    lots = tuple(lots_of([source.dataset for source in plan.sources]))
    identity = {"texts": plan.fingerprint(), "lots": lots_digest(lots)}
    path = reading_path(plan, store=store)
    return Reading(
        plan=plan, lots=lots, job=Job(path=path, kind=KIND, format=FORMAT, identity=identity, files=files)
    )


def reading_path(plan: TextsPlan, *, store: Path) -> Path:
    """Where the lots of a plan are collected."""
    return job_path(store, {"texts": plan.fingerprint()})

"""What every trainer must do: report, evaluate and save when due, stop when asked, and resume to the same bytes."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from codex_core.contracts import LanguageModel, Loaded, PackedRows, RowBatch, Trainer
from codex_core.duration import Duration
from codex_core.events import Event, StepDone
from codex_core.lock import Lock
from codex_core.records import FitResult
from codex_core.testing.claims import claim
from codex_core.testing.shell import FolderCheckpoints


def check_trainer(
    cls: Callable[[Any], Trainer],
    options: Any,
    *,
    model: Loaded,
    data: PackedRows,
    lock: Lock,
    folder: Path,
    capabilities: Collection[str] = (),
) -> Path:
    """Train unbroken; stop and resume after every step; compare. Returns the unbroken run's last checkpoint.

    The lock should have at least three steps, with `save_every` and `evaluate_every` between 1 and them. `folder`
    is empty at the start. Of `capabilities`, `finetune` asks that targets which are not supervised teach nothing.
    """
    claim(lock.steps >= 3, "check_trainer needs a lock of at least three steps")
    lock = attrs.evolve(lock, durations={**_durations(options, lock, data), **lock.durations})
    setting = _Setting(cls=cls, options=options, model=model, data=data, lock=lock, folder=folder)
    whole = setting.run("whole", stop_after=None)
    _check_whole(whole, lock)
    _check_beside(setting, whole)
    for step in range(1, lock.steps):
        _check_broken(setting, whole, step)
    if "finetune" in capabilities:
        _check_masks(setting, whole)
    return whole.checkpoints.path(lock.steps)


def train_once(
    cls: Callable[[Any], Trainer], options: Any, *, model: Loaded, data: PackedRows, lock: Lock, folder: Path
) -> Path:
    """Train unbroken, without judging the trainer; returns the last checkpoint, to try its model on."""
    lock = attrs.evolve(lock, durations={**_durations(options, lock, data), **lock.durations})
    setting = _Setting(cls=cls, options=options, model=model, data=data, lock=lock, folder=folder)
    return setting.run("once", stop_after=None).checkpoints.path(lock.steps)


def _durations(options: Any, lock: Lock, data: PackedRows) -> dict[str, int]:
    """The trainer's durations in steps, as a settled lock holds them."""
    return {
        f"trainer.{name}": value.steps(
            tokens_per_step=lock.batch_rows * data.seq_len, steps_per_epoch=data.num_rows / lock.batch_rows
        )
        for name, value in attrs.asdict(options, recurse=False).items()
        if isinstance(value, Duration)
    }


@attrs.define(kw_only=True)
class _Run:
    """What one call of `fit` did."""

    checkpoints: FolderCheckpoints
    result: FitResult
    events: list[StepDone]
    evaluated: list[int]


@attrs.frozen(kw_only=True)
class _Setting:
    """What stays the same from run to run."""

    cls: Callable[[Any], Trainer]
    options: Any
    model: Loaded
    data: PackedRows
    lock: Lock
    folder: Path

    def run(
        self, name: str, *, stop_after: int | None, resume_step: int | None = None, beside: bool = False
    ) -> _Run:
        """One `fit`; `should_stop` says yes after `stop_after` steps of this attempt have been asked about.

        With `beside` the shell offers to write while training goes on.
        """
        checkpoints = FolderCheckpoints(
            root=self.folder / name,
            every=self.lock.save_every,
            last=self.lock.steps,
            resume_step=resume_step,
            asynchronous=beside,
        )
        config = {**self.lock.config, "checkpoint": {"asynchronous": beside}}
        events: list[Event] = []
        evaluated: list[int] = []
        asked = 0

        def should_stop() -> bool:
            nonlocal asked
            asked += 1
            return stop_after is not None and asked >= stop_after

        def evaluate(live: LanguageModel, step: int) -> Mapping[str, float]:
            claim(isinstance(live, LanguageModel), "evaluate must be given a contracts.LanguageModel")
            scores = live.loglikelihood([[0, 1, 0]])
            claim(len(scores[0]) == 2, "the live model must score rows")
            evaluated.append(step)
            return {"scored": math.fsum(scores[0])}

        result = self.cls(self.options).fit(
            attrs.evolve(self.lock, config=config),
            self.data,
            load=self._load,
            emit=events.append,
            checkpoints=checkpoints,
            evaluate=evaluate,
            should_stop=should_stop,
        )
        checkpoints.finish()
        steps = [event for event in events if isinstance(event, StepDone)]
        return _Run(checkpoints=checkpoints, result=result, events=steps, evaluated=evaluated)

    def _load(self, section: str) -> Loaded:
        claim(
            section in ("model", "trainer"), f"a trainer of this run has no business with section {section!r}"
        )
        if section == "model":
            return self.model
        return Loaded(id="conformance/trainer", target=self.cls, options=self.options)


@attrs.frozen(kw_only=True, eq=False)
class _HalfMasked:
    """Rows of which only each second target is supervised; the others are moved on by `shift` ids."""

    below: PackedRows
    vocab_size: int
    shift: int

    @property
    def num_rows(self) -> int:
        """As below."""
        return self.below.num_rows

    @property
    def seq_len(self) -> int:
        """As below."""
        return self.below.seq_len

    def rows(self, start: int, count: int) -> RowBatch:
        """The rows at these positions, half of them unlearned."""
        held = self.below.rows(start, count)
        mask = held.loss_mask & (held.positions % 2 == 0)
        moved = (held.targets + self.shift) % self.vocab_size
        return attrs.evolve(held, loss_mask=mask, targets=np.where(mask, held.targets, moved))

    def num_supervised(self, start: int, count: int) -> int:
        """Supervised tokens in these rows."""
        return int(self.rows(start, count).loss_mask.sum())


def _check_masks(setting: _Setting, whole: _Run) -> None:
    """What is not supervised must not matter, and what is masked must not be learned."""
    last, found = setting.lock.steps, []
    for shift in (0, 1):
        rows = _HalfMasked(below=setting.data, vocab_size=setting.lock.vocab_size, shift=shift)
        run = attrs.evolve(setting, data=rows).run(f"masked-{shift}", stop_after=None)
        found.append({n: v for n, v in run.checkpoints.contents(last).items() if n.startswith("model/")})
    claim(
        found[0] == found[1],
        "targets that are not supervised must teach nothing; other ones changed the model",
    )
    learned = {n: v for n, v in whole.checkpoints.contents(last).items() if n.startswith("model/")}
    claim(found[0] != learned, "a mask over half of the targets must change what is learned")


def _check_whole(whole: _Run, lock: Lock) -> None:
    claim(whole.result.steps == lock.steps, "fit must go on to lock.steps")
    claim(whole.result.reason == "finished", "a run that reached lock.steps ended with reason `finished`")
    claim(whole.result.tokens > 0, "a finished run must say how many tokens it saw")
    logged = [event.step for event in whole.events]
    due = [step for step in range(1, lock.steps + 1) if lock.log_every and step % lock.log_every == 0]
    claim(set(due) <= set(logged), f"StepDone was due after steps {due}, and came after {logged}")
    claim(logged == sorted(set(logged)), "StepDone must come once per step, in order")
    claim(
        all(math.isfinite(value) for event in whole.events for value in event.metrics.values()),
        "metrics of StepDone must be finite numbers",
    )
    wanted = [
        step for step in range(1, lock.steps + 1) if lock.evaluate_every and step % lock.evaluate_every == 0
    ]
    claim(
        set(wanted) <= set(whole.evaluated),
        f"evaluation was due after {wanted}, and came after {whole.evaluated}",
    )
    for step in range(1, lock.steps + 1):
        saved = whole.checkpoints.path(step).exists()
        claim(
            saved == whole.checkpoints.is_due(step),
            f"the checkpoint of step {step}: saved {saved}, due {not saved}",
        )
    names = whole.checkpoints.contents(lock.steps)
    claim(any(name.startswith("model/") for name in names), "a checkpoint must hold files under model/")


def _check_beside(setting: _Setting, whole: _Run) -> None:
    """What a trainer hands over as `detached` must not change any more when it is written later."""
    late = setting.run("beside", stop_after=None, beside=True)
    for step in range(1, setting.lock.steps + 1):
        if not whole.checkpoints.is_due(step):
            continue
        at_once, later = whole.checkpoints.contents(step), late.checkpoints.contents(step)
        differing = sorted(
            name for name in at_once.keys() | later.keys() if at_once.get(name) != later.get(name)
        )
        claim(
            not differing,
            f"saved as `detached` at step {step} and written later, these files differ: {differing}",
        )


def _check_broken(setting: _Setting, whole: _Run, step: int) -> None:
    name = f"broken-{step}"
    first = setting.run(name, stop_after=step)
    claim(first.result.reason == "signal", "a run that was asked to stop ended with reason `signal`")
    claim(
        first.result.steps == step,
        f"asked to stop after step {step}, it ended after step {first.result.steps}",
    )
    claim(first.checkpoints.path(step).exists(), "a run that was asked to stop must save its last step")
    second = setting.run(name, stop_after=None, resume_step=step)
    claim(
        second.result == whole.result,
        f"resumed after step {step}, the result differs from the unbroken run's",
    )
    rows = {event.step: event for event in [*first.events, *second.events]}
    for event in whole.events:
        claim(
            rows.get(event.step) == event,
            f"resumed after step {step}, the metrics of step {event.step} differ",
        )
    last = setting.lock.steps
    unbroken, resumed = whole.checkpoints.contents(last), second.checkpoints.contents(last)
    differing = sorted(
        name for name in unbroken.keys() | resumed.keys() if unbroken.get(name) != resumed.get(name)
    )
    claim(not differing, f"resumed after step {step}, these files of the last checkpoint differ: {differing}")

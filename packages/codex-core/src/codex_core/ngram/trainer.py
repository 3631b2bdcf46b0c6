"""Counting packed rows, step by step.

Decisions: a step counts `batch_rows` packed rows in data order. The `loss` of a logged step is prequential: the mean
negative log-likelihood of that step's rows, in nats per supervised token, *before* they are counted. Deriving
probabilities costs as much as counting many rows, so they are derived anew only at logged steps, and only when the
rows counted since have grown by a quarter; between, the older probabilities serve. Which step they belong to
(`derived_step`) is saved, so a resumed run prints the same numbers: it takes the rows counted since then away again.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs
import numpy as np
from numpy.typing import NDArray

from codex_core.contracts import Checkpoints, Emit, Evaluate, Loader, PackedRows, ShouldStop
from codex_core.digests import step_digest
from codex_core.events import ProgressMade, StepDigest, StepDone
from codex_core.lock import Lock
from codex_core.ngram import artefact, smoothing
from codex_core.ngram.counts import Counts, cut_events
from codex_core.ngram.digests import CountsDigest
from codex_core.ngram.model import from_counts
from codex_core.ngram.options import NgramTrainerOptions
from codex_core.records import FitResult

_GROWTH = 1.25


class NgramTrainer:
    """The trainer `ngram`; see `codex_core.contracts.Trainer`."""

    def __init__(self, options: NgramTrainerOptions) -> None:
        self.options = options

    def fit(
        self,
        lock: Lock,
        data: PackedRows,
        *,
        load: Loader,
        emit: Emit,
        checkpoints: Checkpoints,
        evaluate: Evaluate,
        should_stop: ShouldStop,
    ) -> FitResult:
        """Count rows up to `lock.steps`, from the newest checkpoint if there is one."""
        counting = _start(lock, data, load=load, checkpoints=checkpoints)
        metrics: dict[str, float] = {}
        digest_every = lock.durations.get("run.digest_every", 0)
        digest = CountsDigest.of(counting.counts) if digest_every else None
        stopping = False
        while counting.step < lock.steps and not stopping:
            events = _events(data, counting.counts, counting.step, lock)
            logged = _is_due(counting.step + 1, every=lock.log_every, last=lock.steps)
            if logged:
                metrics = counting.score(events)
            counting.count(events)
            step = counting.step
            if digest is not None:
                digest.add(events)
                if _is_due(step, every=digest_every, last=lock.steps):
                    emit(_digest(step, digest, metrics if logged else {}))
            emit(ProgressMade(phase="train", done=step, total=lock.steps))
            if logged:
                emit(StepDone(step=step, tokens=counting.tokens, metrics=metrics))
            if _is_due(step, every=lock.evaluate_every, last=lock.steps):
                evaluate(from_counts(counting.counts), step)
            stopping = step < lock.steps and should_stop()
            if stopping or checkpoints.is_due(step):
                _save(counting, lock, checkpoints)
        reason = "signal" if stopping else "finished"
        return FitResult(steps=counting.step, tokens=counting.tokens, reason=reason, metrics=metrics)


@attrs.define(kw_only=True, eq=False)
class _Counting:
    """What changes from step to step; `derived_step` is the last step that `probabilities` know of."""

    counts: Counts
    step: int = 0
    tokens: int = 0
    derived_step: int | None = None
    probabilities: smoothing.KneserNey | None = None

    def score(self, events: NDArray[np.int32]) -> dict[str, float]:
        """The loss of events that are about to be counted; nothing when there are none."""
        if self.probabilities is None or self.step >= _GROWTH * (self.derived_step or 0):
            self.probabilities, self.derived_step = smoothing.estimate(self.counts), self.step
        if not len(events):
            return {}
        logs = self.probabilities.log_probabilities(events[:, :-1], events[:, -1].astype(np.int64))
        return {"loss": float(-logs.mean())}

    def count(self, events: NDArray[np.int32]) -> None:
        """Take one step's events into the table."""
        self.counts.add(events)
        self.step += 1
        self.tokens += len(events)


def _start(lock: Lock, data: PackedRows, *, load: Loader, checkpoints: Checkpoints) -> _Counting:
    model = load("model")
    saved = checkpoints.resume()
    if saved is None:
        seed = lock.seeds["model.init"]
        return _Counting(counts=model.target.build(model.options, vocab_size=lock.vocab_size, seed=seed))
    counting = _Counting(
        counts=artefact.load(saved.path / "model"),
        step=saved.step,
        tokens=saved.tokens,
        derived_step=saved.state["derived_step"],
    )
    if counting.derived_step is not None:
        later = [
            _events(data, counting.counts, step, lock) for step in range(counting.derived_step, counting.step)
        ]
        counting.probabilities = smoothing.estimate(counting.counts.without(*later))
    return counting


def _events(data: PackedRows, counts: Counts, step: int, lock: Lock) -> NDArray[np.int32]:
    """The events of the step that follows `step`."""
    rows = data.rows(step * lock.batch_rows, lock.batch_rows)
    return cut_events(rows, order=counts.order, vocab_size=counts.vocab_size)


def _digest(step: int, digest: CountsDigest, metrics: Mapping[str, float]) -> StepDigest:
    """What another execution of the step must repeat; the loss is worked out at logged steps only."""
    return step_digest(step=step, loss=metrics.get("loss"), grad_norm=None, tensors={"counts": digest.hex()})


def _save(counting: _Counting, lock: Lock, checkpoints: Checkpoints) -> None:
    written = artefact.files(counting.counts)
    checkpoints.save(
        step=counting.step,
        position=counting.step * lock.batch_rows,
        tokens=counting.tokens,
        state={"derived_step": counting.derived_step},
        files={f"model/{name}": write for name, write in written.items()},
    )


def _is_due(step: int, *, every: int, last: int) -> bool:
    """Whether work scheduled each `every` steps happens at `step`: never for 0, else also at the last."""
    return every > 0 and (step == last or step % every == 0)

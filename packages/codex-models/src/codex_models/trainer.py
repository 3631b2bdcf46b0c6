"""Training a torch model: next rows, forward, backward, clip, step, tell, evaluate, save.

Decisions: the learning rate is a pure function of the step, and noise of seed, step and micro-batch, so nothing
random needs saving; an update that is not finite never reaches weights or moments; evaluation looks at the model
between steps and leaves it as it was; saves happen between steps only.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from codex_core.contracts import Checkpoints, Emit, Evaluate, Loader, PackedRows, ShouldStop
from codex_core.events import ProgressMade, StepDigest, StepDone
from codex_core.lock import Lock
from codex_core.records import FitResult
from codex_models.digests import digest_of_step
from codex_models.events import LossScaleLowered
from codex_models.guards import Outcome, has_supervised, passed_over, warn_of_first_loss, withhold
from codex_models.oom import gradients_in_memory
from codex_models.precision import repeatable
from codex_models.progress import Pace, is_due
from codex_models.schedule import learning_rate
from codex_models.trainer_options import TorchTrainerOptions
from codex_models.training import Training, begin, save


class TorchTrainer:
    """The trainer `torch`; see `codex_core.contracts.Trainer`."""

    def __init__(
        self, options: TorchTrainerOptions, *, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.options = options
        self.clock = clock

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
        """Train up to `lock.steps`, from the newest checkpoint if there is one.

        Raises `RunFailed` for a step without supervised tokens, and as `on_nonfinite` says for numbers that are not
        finite.
        """
        with repeatable(threads=lock.threads, exact=lock.exactness != "L0"):
            training = begin(lock, self.options, load=load, saved=checkpoints.resume(), emit=emit)
            live, pace = training.model.language_model(), Pace(self.clock)
            reason = _reason(training, lock, stopped=False)
            while not reason:
                step = training.step + 1
                batches = training.micro_batches(data, step)
                supervised = sum(batch.num_supervised for batch in batches)
                if has_supervised(data, training.rows_of(step), supervised, step):
                    outcome = gradients_in_memory(
                        training, lock, data, batches, step=step, supervised=supervised, emit=emit
                    )
                else:
                    outcome = passed_over(training.rows_of(step), step, emit)
                lr = self._lr(lock, step)
                self._apply(training, outcome, step=step, lr=lr, supervised=supervised, emit=emit)
                training.advance(lock)
                if is_due(step, every=lock.durations.get("run.digest_every", 0), last=lock.steps):
                    emit(_digest(training, outcome))
                pace.took(tokens=lock.batch_rows * lock.seq_len, supervised=supervised)
                emit(_progress(step, lock, outcome))
                if is_due(step, every=lock.log_every, last=lock.steps):
                    training.summarise(lr=lr, grad_norm=outcome.grad_norm)
                    emit(StepDone(step=step, tokens=training.tokens, metrics=training.metrics))
                    emit(pace.measured(step))
                if is_due(step, every=lock.evaluate_every, last=lock.steps):
                    with pace.paused(), training.as_evaluated():
                        training.patience.take(evaluate(live, step), step)
                reason = _reason(training, lock, stopped=step < lock.steps and should_stop())
                if reason in ("signal", "early") or checkpoints.is_due(step):
                    with pace.saving():
                        save(training, lock, checkpoints)
            return FitResult(
                steps=training.step, tokens=training.tokens, reason=reason, metrics=dict(training.metrics)
            )

    def _apply(
        self, training: Training, outcome: Outcome, *, step: int, lr: float, supervised: int, emit: Emit
    ) -> None:
        """Update the weights, or leave them as they are and say why; at step 1, tell of an unlikely loss."""
        if step == 1:
            vocab_size, has_weights = training.model.vocab_size, training.has_weights
            warn_of_first_loss(outcome.loss, vocab_size=vocab_size, has_weights=has_weights, emit=emit)
        if outcome.is_empty:
            return
        if outcome.is_finite:
            training.apply(lr, loss_sum=outcome.loss * supervised, supervised=supervised)
            return
        training.optimizer.discard_gradients()
        if training.scaler is not None and training.scaler.can_shrink and not outcome.suspects:
            training.scaler.overflowed()
            emit(LossScaleLowered(step=step, factor=training.scaler.factor))
            return
        training.skipped += 1
        rows = training.rows_of(step)
        withhold(
            outcome,
            step=step,
            skipped=training.skipped,
            options=self.options,
            rows=f"{rows[0]} to {rows[-1]}",
            emit=emit,
        )

    def _lr(self, lock: Lock, step: int) -> float:
        options = self.options
        return learning_rate(
            step,
            schedule=options.schedule,
            peak=options.lr,
            warmup_steps=lock.durations["trainer.warmup"],
            total_steps=lock.steps,
            min_ratio=options.min_lr_ratio,
            decay_share=options.decay_share,
        )


def _reason(training: Training, lock: Lock, *, stopped: bool) -> str:
    """Why training ends here, or nothing."""
    if training.step >= lock.steps:
        return "finished"
    if stopped:
        return "signal"
    return "early" if training.patience.exhausted else ""


def _digest(training: Training, outcome: Outcome) -> StepDigest:
    tensors = training.model.trainable()
    return digest_of_step(training.step, loss=outcome.loss, grad_norm=outcome.grad_norm, tensors=tensors)


def _progress(step: int, lock: Lock, outcome: Outcome) -> ProgressMade:
    return ProgressMade(phase="train", done=step, total=lock.steps, detail=f"loss {outcome.loss:.3f}")

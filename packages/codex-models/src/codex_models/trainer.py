"""Training a torch model: next rows, forward, backward, clip, step, tell, evaluate, save.

Decisions: the loss of a step is the sum over its supervised tokens divided by their number, which is known before
the first backward pass, so micro-batches change nothing but rounding; the learning rate is a pure function of the
step and dropout masks of seed, step and micro-batch, so nothing random needs saving; a loss or gradient that is
not finite stops the run before it touches weights or moments; saves happen between steps only.

Shapes: R rows, L row length in tokens.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import torch

from codex_core.contracts import Checkpoints, Emit, Evaluate, Loader, PackedRows, ShouldStop
from codex_core.errors import RunFailed
from codex_core.events import ProgressMade, StepDone, Warned
from codex_core.lock import Lock
from codex_core.records import FitResult
from codex_core.seeds import seed_for
from codex_models.digests import digest_of_step
from codex_models.loss import supervised_cross_entropy
from codex_models.precision import repeatable
from codex_models.progress import Pace, is_due
from codex_models.schedule import cosine_lr
from codex_models.trainer_options import TorchTrainerOptions
from codex_models.training import MicroBatch, Training, begin, save

#: How far the first loss may be from ln(V), as a share of it, before a user should know.
_FIRST_LOSS_MARGIN = 0.2


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

        Raises `RunFailed` for a step without supervised tokens and for numbers that are not finite.
        """
        with repeatable(threads=lock.threads, exact=lock.exactness != "L0"):
            training = begin(lock, self.options, load=load, saved=checkpoints.resume(), emit=emit)
            live, pace, stopping = training.model.language_model(), Pace(self.clock), False
            while training.step < lock.steps and not stopping:
                step = training.step + 1
                micro_batches = training.micro_batches(data, step)
                supervised = _require_supervised(data, micro_batches, step)
                loss = self._backward(training, lock, micro_batches, step, supervised)
                norm = training.optimizer.clip(self.options.clip)
                self._refuse_useless(training, step, loss, norm, emit)
                lr = self._lr(lock, step)
                training.optimizer.step(lr)
                training.advance(lock, loss * supervised, supervised)
                if is_due(step, every=lock.durations.get("run.digest_every", 0), last=lock.steps):
                    emit(digest_of_step(step, loss=loss, grad_norm=norm, tensors=training.model.trainable()))
                pace.took(tokens=lock.batch_rows * lock.seq_len, supervised=supervised)
                emit(ProgressMade(phase="train", done=step, total=lock.steps, detail=f"loss {loss:.3f}"))
                if is_due(step, every=lock.log_every, last=lock.steps):
                    training.summarise(lr=lr, grad_norm=norm)
                    emit(StepDone(step=step, tokens=training.tokens, metrics=training.metrics))
                    emit(pace.measured(step))
                if is_due(step, every=lock.evaluate_every, last=lock.steps):
                    with pace.paused():
                        evaluate(live, step)
                stopping = step < lock.steps and should_stop()
                if stopping or checkpoints.is_due(step):
                    with pace.paused():
                        save(training, lock, checkpoints)
            reason = "signal" if stopping else "finished"
            return FitResult(
                steps=training.step, tokens=training.tokens, reason=reason, metrics=dict(training.metrics)
            )

    def _backward(
        self, training: Training, lock: Lock, micro_batches: list[MicroBatch], step: int, supervised: int
    ) -> float:
        """Gradients of the step's mean loss; returns that loss, in nats per supervised token."""
        model, losses = training.model, []
        model.train()
        for index, batch in enumerate(micro_batches):
            training.noise.manual_seed(seed_for(lock.seeds["dropout"], step, index))
            hidden = model.hidden(batch.inputs, batch.positions, batch.document_ids)
            loss = (
                supervised_cross_entropy(hidden, model.head.weight, batch.targets, batch.loss_mask)
                / supervised
            )
            loss.backward()
            losses.append(loss.detach())
        return float(torch.stack(losses).sum())

    def _lr(self, lock: Lock, step: int) -> float:
        return cosine_lr(
            step,
            peak=self.options.lr,
            warmup_steps=lock.durations["trainer.warmup"],
            total_steps=lock.steps,
            min_ratio=self.options.min_lr_ratio,
        )

    def _refuse_useless(self, training: Training, step: int, loss: float, norm: float, emit: Emit) -> None:
        """Stop before numbers that are not finite reach the weights; at step 1, warn of an unlikely loss."""
        if not (math.isfinite(loss) and math.isfinite(norm)):
            training.optimizer.discard_gradients()
            raise RunFailed(
                code="TRN-002",
                what=f"step {step}: the loss is {loss} and the gradient norm {norm}; the update was not applied",
                where=f"rows {training.rows_of(step)}",
                why="weights and moments are those of the step before",
                fix="lower trainer.lr or lengthen trainer.warmup, or resume from an earlier checkpoint",
            )
        expected = math.log(training.model.vocab_size)
        if step == 1 and abs(loss - expected) > _FIRST_LOSS_MARGIN * expected:
            emit(
                Warned(
                    code="TRN-003",
                    text=f"the first loss is {loss:.3f} nats; an untrained model over {training.model.vocab_size} "
                    f"ids should be near ln(V) = {expected:.3f}; are the targets what you expect?",
                )
            )


def _require_supervised(data: PackedRows, micro_batches: list[MicroBatch], step: int) -> int:
    """Supervised tokens of the step, the loss's denominator."""
    supervised = sum(batch.num_supervised for batch in micro_batches)
    if supervised == 0:
        raise RunFailed(
            code="TRN-001",
            what=f"step {step} has no supervised token, so it has no loss",
            where="rows at positions "
            + ", ".join(f"{b.start} to {b.start + len(b.inputs) - 1}" for b in micro_batches),
            why="every target in these rows is masked or padding",
            fix="codex data inspect, and look at what is learned in these rows",
        )
    return supervised

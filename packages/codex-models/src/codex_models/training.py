"""The state of a training: what `fit` changes from step to step, how it begins and how it is saved.

Decisions: everything that a resume needs is in this record, and it is saved together or not at all: parameters,
moments, running average, step, tokens, loss scale, patience, the open sums of the current log interval, and the
arithmetic it was computed with. With a running average, `model/` of a checkpoint is the average, since that is what
was evaluated, and `trainer/weights/` are the parameters that training goes on with.
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import attrs
import torch
from torch import Tensor

from codex_core.contracts import Checkpoints, Emit, Loader, PackedRows, SavedState
from codex_core.errors import ArtefactError, ConfigError
from codex_core.lock import Lock
from codex_core.objective import objective_of, supervised_share
from codex_models.compiling import CompiledBlocks, compiled_blocks
from codex_models.ema import WeightAverage
from codex_models.events import TrainingPrepared
from codex_models.exactness import arithmetic_of, require_level, require_same_arithmetic
from codex_models.modules import TrainableModule
from codex_models.optimizer import NamedOptimizer
from codex_models.patience import Patience
from codex_models.precision import device_for, dtype_name, return_freed_memory, training_dtype
from codex_models.scaler import LossScaler
from codex_models.staging import HostCopies, copies_for
from codex_models.state import tensor_writer
from codex_models.trainer_options import TorchTrainerOptions

STATE_FORMAT = "codex-torch-trainer/1"

#: The state of every generator, by purpose: there is none, and a checkpoint says so.
RANDOM = {
    "dropout": "a function of run.seed, step and micro-batch",
    "data.order": "a function of the seed, epoch and position",
    "evaluation": "draws nothing",
}


@attrs.frozen(kw_only=True, eq=False)
class MicroBatch:
    """Rows that go through the model at once, (R, L) each; `start` is the global position of the first one."""

    start: int
    num_supervised: int
    inputs: Tensor
    targets: Tensor
    loss_mask: Tensor
    positions: Tensor
    document_ids: Tensor

    @property
    def rows(self) -> range:
        """The global positions of its rows."""
        return range(self.start, self.start + len(self.inputs))


@attrs.define(kw_only=True, eq=False)
class Training:
    """A model, its optimizer, and how far they are; `loss_sum` and `loss_tokens` belong to the open interval.

    `rows_at_once` go through the model together; `has_weights` says that the model did not begin at random.
    """

    model: TrainableModule
    optimizer: NamedOptimizer
    options: TorchTrainerOptions
    device: torch.device
    noise: torch.Generator
    rows_at_once: int
    patience: Patience
    arithmetic: dict[str, str]
    scaler: LossScaler | None = None
    average: WeightAverage | None = None
    blocks: CompiledBlocks | None = None
    copies: HostCopies | None = None
    has_weights: bool = False
    step: int = 0
    tokens: int = 0
    skipped: int = 0
    loss_sum: float = 0.0
    loss_tokens: int = 0
    metrics: dict[str, float] = attrs.field(factory=dict)

    def micro_batches(self, data: PackedRows, step: int) -> list[MicroBatch]:
        """The rows of a step, in order, cut into what is computed at once."""
        positions = self.rows_of(step)
        return [self._read(data, start) for start in positions[:: self.rows_at_once]]

    def rows_of(self, step: int) -> range:
        """The global positions of a step's rows."""
        return range((step - 1) * self.options.batch_rows, step * self.options.batch_rows)

    def compiled(self) -> AbstractContextManager[None]:
        """Blocks run compiled inside, where that was asked for."""
        return nullcontext() if self.blocks is None else self.blocks.used()

    def as_evaluated(self) -> AbstractContextManager[None]:
        """The running average stands in the model inside, where there is one."""
        return nullcontext() if self.average is None else self.average.shown()

    def apply(self, lr: float, *, loss_sum: float, supervised: int) -> None:
        """Take the step that the gradients ask for, and count its loss."""
        self.optimizer.step(lr)
        if self.average is not None:
            self.average.update()
        if self.scaler is not None:
            self.scaler.succeeded()
        self.loss_sum += loss_sum
        self.loss_tokens += supervised

    def advance(self, lock: Lock) -> None:
        """Count a step and its rows, applied or not."""
        self.step += 1
        self.tokens += lock.batch_rows * lock.seq_len

    def summarise(self, *, lr: float, grad_norm: float) -> None:
        """Close the log interval: mean loss per supervised token, and the last step's rate and norm.

        What is not finite is absent: the norm of a step that was skipped, the loss when every step was.
        """
        self.metrics = {"lr": lr}
        if self.loss_tokens:
            self.metrics["loss"] = self.loss_sum / self.loss_tokens
        if math.isfinite(grad_norm):
            self.metrics["grad_norm"] = grad_norm
        if self.skipped:
            self.metrics["skipped_steps"] = float(self.skipped)
        self.loss_sum, self.loss_tokens = 0.0, 0

    def _read(self, data: PackedRows, start: int) -> MicroBatch:
        rows = data.rows(start, self.rows_at_once)
        arrays = (rows.inputs, rows.targets, rows.loss_mask, rows.positions, rows.document_ids)
        inputs, targets, loss_mask, positions, document_ids = (
            torch.from_numpy(array).to(self.device) for array in arrays
        )
        return MicroBatch(
            start=start,
            num_supervised=int(rows.loss_mask.sum()),
            inputs=inputs,
            targets=targets,
            loss_mask=loss_mask,
            positions=positions,
            document_ids=document_ids,
        )


def begin(
    lock: Lock, options: TorchTrainerOptions, *, load: Loader, saved: SavedState | None, emit: Emit
) -> Training:
    """A training at step 0, or where `saved` left it.

    Raises `CapabilityMissing` for a device, precision, compilation or exactness level that is not possible here.
    """
    chosen, device = load("model"), device_for(options.device)
    dtype = training_dtype(options.precision, device)
    require_level(lock, device)
    _require_evaluations(lock, options)
    model = chosen.target.build(chosen.options, vocab_size=lock.vocab_size, seed=lock.seeds["model.init"])
    _fit_context(model, lock)
    model.compute_dtype = dtype
    model.checkpoint_blocks = options.activation_checkpointing == "blocks"
    model.to(device)
    training = Training(
        model=model,
        optimizer=NamedOptimizer(model, options),
        options=options,
        device=device,
        noise=torch.Generator(device),
        # One row at a time has one shape whatever the split, and adds up in the order of rows.
        rows_at_once=1 if lock.exactness == "L2" else options.rows_at_once,
        patience=_patience(options),
        arithmetic=arithmetic_of(lock, device=device, dtype=dtype, compiled=options.compile == "on"),
        scaler=LossScaler() if dtype == torch.float16 else None,
        blocks=compiled_blocks(model, exactness=lock.exactness) if options.compile == "on" else None,
        has_weights=getattr(chosen.options, "weights", None) is not None,
    )
    model.set_noise(training.noise)
    if options.ema is not None:
        training.average = WeightAverage(model.trainable(), decay=options.ema)
    training.copies = copies_for(
        model.trainable().values(), lock, has_average=training.average is not None, emit=emit
    )
    if saved is not None:
        _restore(training, saved)
    _take_room(training)
    emit(_prepared(training, lock))
    return training


def _take_room(training: Training) -> None:
    """Take the memory of copies before the first step, and give back what building the model left over.

    What lasts lies below what comes and goes, so each step finds the same free memory as the one before.
    """
    copies, average = training.copies, training.average
    if copies is not None:
        copies.take({name: value.detach() for name, value in training.model.trainable().items()}, "weights")
        copies.take(training.optimizer.tensors(), "moments")
        if average is not None:
            copies.take(average.tensors, "average")
    return_freed_memory()


def save(training: Training, lock: Lock, checkpoints: Checkpoints) -> None:
    """Commit a checkpoint of everything that a resume needs; with copies of it, while training goes on."""
    model, average, copies = training.model, training.average, training.copies
    detached = copies is not None and checkpoints.asynchronous
    weights = {name: value.detach() for name, value in model.trainable().items()}
    moments = training.optimizer.tensors()
    shown = weights if average is None else average.tensors
    if copies is not None and detached:
        checkpoints.finish()  # the copies of the save before are about to be overwritten
        weights, moments = copies.take(weights, "weights"), copies.take(moments, "moments")
        shown = weights if average is None else copies.take(average.tensors, "average")
    files = {f"model/{name}": write for name, write in model.payload(shown).items()}
    if average is not None:
        files |= {f"trainer/weights/{name}": write for name, write in model.payload(weights).items()}
    files["trainer/optimizer.safetensors"] = tensor_writer(lambda: moments)
    checkpoints.save(
        step=training.step,
        position=training.step * lock.batch_rows,
        tokens=training.tokens,
        state=_state(training),
        files=files,
        detached=detached,
    )


def _state(training: Training) -> dict[str, Any]:
    """What is not a tensor."""
    return {
        "format": STATE_FORMAT,
        "arithmetic": training.arithmetic,
        "loss_sum": training.loss_sum,
        "loss_tokens": training.loss_tokens,
        "metrics": training.metrics,
        "skipped": training.skipped,
        "patience": training.patience.state(),
        "scaler": None if training.scaler is None else training.scaler.state(),
        "average": training.average is not None,
        "random": RANDOM,
    }


def _restore(training: Training, saved: SavedState) -> None:
    """Put everything back that `save` wrote; what a checkpoint of an earlier version lacks is as it is at step 0."""
    state = saved.state
    if state.get("format") != STATE_FORMAT:
        raise ArtefactError(
            code="TRN-005",
            what=f"the checkpoint's trainer state is {state.get('format')!r}, expected {STATE_FORMAT!r}",
            where=str(saved.path),
            fix="resume with the trainer that wrote it",
        )
    require_same_arithmetic(state["arithmetic"], training.arithmetic, where=str(saved.path))
    training.model.restore(saved.path / "model")
    if training.average is not None:
        training.average.take_over()
        training.model.restore(saved.path / "trainer" / "weights")
    training.optimizer.load(saved.path / "trainer" / "optimizer.safetensors")
    training.step, training.tokens = saved.step, saved.tokens
    training.loss_sum, training.loss_tokens = state["loss_sum"], state["loss_tokens"]
    training.metrics = dict(state["metrics"])
    training.skipped = state.get("skipped", 0)
    if state.get("patience") is not None:
        training.patience.restore(state["patience"])
    if training.scaler is not None:
        training.scaler.restore(state["scaler"])


def _prepared(training: Training, lock: Lock) -> TrainingPrepared:
    model, options = training.model, training.options
    num_parameters = sum(parameter.numel() for parameter in model.parameters())
    num_trainable = sum(parameter.numel() for parameter in model.trainable().values())
    return TrainingPrepared(
        step=training.step,
        device=str(training.device),
        dtype=dtype_name(model.compute_dtype),
        threads=torch.get_num_threads(),
        exactness=lock.exactness,
        num_parameters=num_parameters,
        num_trainable=num_trainable,
        micro_batches=options.batch_rows // training.rows_at_once,
        torch_version=torch.__version__,
        objective="lora" if num_trainable < num_parameters else objective_of(lock),
        supervised_share=supervised_share(lock),
        evaluates="weights" if training.average is None else "average",
        arithmetic=training.arithmetic,
    )


def _patience(options: TorchTrainerOptions) -> Patience:
    return Patience(
        limit=options.patience,
        metric=options.patience_metric,
        mode=options.patience_mode,
        min_delta=options.min_delta,
    )


def _require_evaluations(lock: Lock, options: TorchTrainerOptions) -> None:
    """Patience without evaluations would wait for ever without saying so."""
    if options.patience is not None and lock.evaluate_every == 0:
        raise ConfigError(
            code="TRN-010",
            what="trainer.patience waits for evaluations, and there are none",
            where="trainer.patience",
            fix="set evaluation.every, or remove trainer.patience",
        )


def _fit_context(model: TrainableModule, lock: Lock) -> None:
    """A model without a context length takes that of the rows; a shorter one is refused."""
    if model.context_length is None:
        model.context_length = lock.seq_len
    elif model.context_length < lock.seq_len:
        raise ConfigError(
            code="TRN-004",
            what=f"rows have {lock.seq_len} tokens and the model's context is {model.context_length}",
            where="model.context_length, data.seq_len",
            fix="leave model.context_length out, or set it to at least data.seq_len",
        )

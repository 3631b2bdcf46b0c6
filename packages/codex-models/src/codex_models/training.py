"""The state of a training: what `fit` changes from step to step, how it begins and how it is saved.

Decision: everything that a resume needs is in this record, and it is saved together or not at all: parameters,
moments, step, tokens, the open sums of the current log interval, and the arithmetic it was computed with. A resume
with another arithmetic is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import torch
from torch import Tensor

from codex_core.contracts import Checkpoints, Emit, Loader, PackedRows, SavedState
from codex_core.errors import ArtefactError, ConfigError
from codex_core.lock import Lock
from codex_models.events import TrainingPrepared
from codex_models.modules import TrainableModule
from codex_models.optimizer import NamedOptimizer
from codex_models.precision import device_for, dtype_name, training_dtype
from codex_models.state import tensor_writer
from codex_models.trainer_options import TorchTrainerOptions

STATE_FORMAT = "codex-torch-trainer/1"


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


@attrs.define(kw_only=True, eq=False)
class Training:
    """A model, its optimizer, and how far they are; `loss_sum` and `loss_tokens` belong to the open interval."""

    model: TrainableModule
    optimizer: NamedOptimizer
    options: TorchTrainerOptions
    device: torch.device
    noise: torch.Generator
    step: int = 0
    tokens: int = 0
    loss_sum: float = 0.0
    loss_tokens: int = 0
    metrics: dict[str, float] = attrs.field(factory=dict)

    def micro_batches(self, data: PackedRows, step: int) -> list[MicroBatch]:
        """The rows of a step, in order, cut into what is computed at once."""
        first = (step - 1) * self.options.batch_rows
        starts = range(first, first + self.options.batch_rows, self.options.rows_at_once)
        return [self._read(data, start) for start in starts]

    def rows_of(self, step: int) -> str:
        """The global positions of a step's rows, for messages."""
        return f"{(step - 1) * self.options.batch_rows} to {step * self.options.batch_rows - 1}"

    def advance(self, lock: Lock, loss_sum: float, supervised: int) -> None:
        """Count a step that was applied."""
        self.step += 1
        self.tokens += lock.batch_rows * lock.seq_len
        self.loss_sum += loss_sum
        self.loss_tokens += supervised

    def summarise(self, *, lr: float, grad_norm: float) -> None:
        """Close the log interval: mean loss per supervised token, and the last step's rate and norm."""
        self.metrics = {"loss": self.loss_sum / self.loss_tokens, "lr": lr, "grad_norm": grad_norm}
        self.loss_sum, self.loss_tokens = 0.0, 0

    def _read(self, data: PackedRows, start: int) -> MicroBatch:
        rows = data.rows(start, self.options.rows_at_once)
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
    """A training at step 0, or where `saved` left it."""
    chosen, device = load("model"), device_for(options.device)
    model = chosen.target.build(chosen.options, vocab_size=lock.vocab_size, seed=lock.seeds["model.init"])
    _fit_context(model, lock)
    model.compute_dtype = training_dtype(options.precision, device)
    model.to(device)
    training = Training(
        model=model,
        optimizer=NamedOptimizer(model, options),
        options=options,
        device=device,
        noise=torch.Generator(device),
    )
    model.set_noise(training.noise)
    if saved is not None:
        _restore(training, saved)
    emit(
        TrainingPrepared(
            step=training.step,
            device=str(device),
            dtype=dtype_name(model.compute_dtype),
            threads=torch.get_num_threads(),
            exactness=lock.exactness,
            num_parameters=sum(parameter.numel() for parameter in model.parameters()),
            micro_batches=options.batch_rows // options.rows_at_once,
            torch_version=torch.__version__,
        )
    )
    return training


def save(training: Training, lock: Lock, checkpoints: Checkpoints) -> None:
    """Commit a checkpoint of everything that a resume needs."""
    model = training.model
    tensors = {name: value.detach() for name, value in model.trainable().items()}
    checkpoints.save(
        step=training.step,
        position=training.step * lock.batch_rows,
        tokens=training.tokens,
        state={
            "format": STATE_FORMAT,
            "arithmetic": _arithmetic(training),
            "loss_sum": training.loss_sum,
            "loss_tokens": training.loss_tokens,
            "metrics": training.metrics,
        },
        files={
            **{f"model/{name}": write for name, write in model.payload(tensors).items()},
            "trainer/optimizer.safetensors": tensor_writer(training.optimizer.tensors),
        },
    )


def _restore(training: Training, saved: SavedState) -> None:
    state = saved.state
    if state.get("format") != STATE_FORMAT:
        raise ArtefactError(
            code="TRN-005",
            what=f"the checkpoint's trainer state is {state.get('format')!r}, expected {STATE_FORMAT!r}",
            where=str(saved.path),
            fix="resume with the trainer that wrote it",
        )
    if state["arithmetic"] != _arithmetic(training):
        raise ConfigError(
            code="TRN-006",
            what="the run would continue with another arithmetic than it began with",
            where=str(saved.path),
            why=f"began with {_shown(state['arithmetic'])}; here it is {_shown(_arithmetic(training))}",
            fix="set trainer.precision and trainer.device to what the run began with",
        )
    training.model.restore(saved.path / "model")
    training.optimizer.load(saved.path / "trainer" / "optimizer.safetensors")
    training.step, training.tokens = saved.step, saved.tokens
    training.loss_sum, training.loss_tokens = state["loss_sum"], state["loss_tokens"]
    training.metrics = dict(state["metrics"])


def _arithmetic(training: Training) -> dict[str, str]:
    return {"device": training.device.type, "dtype": dtype_name(training.model.compute_dtype)}


def _shown(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in sorted(values.items()))


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

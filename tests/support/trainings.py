"""A training that stands ready, and what one step of it computes, for the tests of the engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np
import torch
from torch import Tensor

from codex_core.contracts import Loaded, RowBatch, SavedState
from codex_models.decoder import Decoder
from codex_models.gradients import gradients_of
from codex_models.guards import Outcome
from codex_models.options import DecoderOptions
from codex_models.precision import repeatable
from codex_models.trainer_options import TorchTrainerOptions
from codex_models.training import MicroBatch, Training, begin
from tests.support.decoders import TINY, CountingRows, lock_for, options_for


def training_of(
    options: TorchTrainerOptions | None = None, *, model: DecoderOptions = TINY, **lock_changes: Any
) -> Training:
    """A training at step 0 of a tiny decoder, whose matrices are large enough for gradients to matter."""
    chosen = options or options_for()
    lock = lock_for(chosen, **lock_changes)
    with repeatable(threads=1, exact=True):
        training = begin(
            lock,
            chosen,
            load=lambda section: Loaded(id="codex-models/decoder", target=Decoder, options=model),
            saved=None,
            emit=lambda event: None,
        )
    with torch.no_grad():
        for parameter in training.model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(8.0)
    return training


def batches_of(training: Training, rows: CountingRows, sizes: Sequence[int]) -> list[MicroBatch]:
    """The first rows, cut into micro-batches of these sizes."""
    cut = []
    for size in sizes:
        training.rows_at_once = size
        start = sum(len(batch.inputs) for batch in cut)
        cut.append(training._read(rows, start))
    return cut


def step_of(
    training: Training, batches: Sequence[MicroBatch], *, supervised: int | None = None, **lock_changes: Any
) -> tuple[Outcome, dict[str, Tensor]]:
    """What one step computes: its outcome, and copies of the gradients by name."""
    lock = lock_for(training.options, **lock_changes)
    count = sum(batch.num_supervised for batch in batches) if supervised is None else supervised
    with repeatable(threads=1, exact=True):
        outcome = gradients_of(training, lock, batches, step=1, supervised=count)
    return outcome, {name: value.grad.clone() for name, value in training.model.trainable().items()}


def files_of(state: SavedState) -> dict[str, bytes]:
    """Every file of a checkpoint with its bytes."""
    paths = [path for path in sorted(state.path.rglob("*")) if path.is_file()]
    return {path.relative_to(state.path).as_posix(): path.read_bytes() for path in paths}


def distance(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """The largest difference of two gradients over the largest entry of the first."""
    assert one.keys() == other.keys()
    largest = max(float(value.abs().max()) for value in one.values())
    return max(float((one[name] - other[name]).abs().max()) for name in one) / largest


@attrs.frozen(kw_only=True, eq=False)
class MarkedRows:
    """Counting rows over one id less, except that the rows at `marked` positions begin with the last id."""

    marked: frozenset[int]
    rows_below: CountingRows = attrs.field(factory=CountingRows)
    mark: int = 22

    @property
    def num_rows(self) -> int:
        """As below."""
        return self.rows_below.num_rows

    @property
    def seq_len(self) -> int:
        """As below."""
        return self.rows_below.seq_len

    def rows(self, start: int, count: int) -> RowBatch:
        """The rows at these positions."""
        held = self.rows_below.rows(start, count)
        inputs, targets = held.inputs % self.mark, held.targets % self.mark
        for index in range(count):
            if start + index in self.marked:
                inputs[index, 0] = self.mark
        return attrs.evolve(held, inputs=inputs, targets=targets)

    def num_supervised(self, start: int, count: int) -> int:
        """As below."""
        return self.rows_below.num_supervised(start, count)

    def documents(self, start: int, count: int) -> list[str]:
        """Each row is a document of its own."""
        return [f"doc-{position}" for position in np.arange(start, start + count)]

"""The gradients of a step's mean loss, micro-batch by micro-batch.

Decisions: the loss is the sum over supervised tokens divided by their number in the whole step, which is known before
the first backward pass, so neither the split into micro-batches nor their order of masks changes what is minimised;
noise is drawn anew for each micro-batch from seed, step and its number, so nothing random needs saving; the numbers
of a step leave the device once, together.

Shapes: R rows, L row length in tokens.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from codex_core.lock import Lock
from codex_core.seeds import seed_for
from codex_models.guards import Outcome
from codex_models.loss import supervised_cross_entropy
from codex_models.training import MicroBatch, Training


def gradients_of(
    training: Training, lock: Lock, batches: Sequence[MicroBatch], *, step: int, supervised: int
) -> Outcome:
    """Leave the gradients of the step's mean loss, clipped, in the parameters; nothing else changes.

    `supervised` is the number of supervised tokens of all batches, here and in other processes.
    """
    training.optimizer.discard_gradients()
    training.model.train()
    factor = 1.0 if training.scaler is None else training.scaler.factor
    losses = []
    with training.compiled():
        for index, batch in enumerate(batches):
            training.noise.manual_seed(seed_for(lock.seeds["dropout"], step, index))
            loss = loss_of(training, batch) / supervised
            (loss * factor).backward()
            losses.append(loss.detach())
    if factor != 1.0:
        training.optimizer.scale_gradients(1.0 / factor)
    norm = training.optimizer.clip(training.options.clip)
    return _outcome(losses, norm, batches)


def loss_of(training: Training, batch: MicroBatch) -> Tensor:
    """Sum of the losses of a micro-batch's supervised tokens, in nats."""
    model = training.model
    hidden_RLD = model.hidden(batch.inputs, batch.positions, batch.document_ids)
    return supervised_cross_entropy(hidden_RLD, model.head.weight, batch.targets, batch.loss_mask)


def _outcome(losses: Sequence[Tensor], norm: Tensor, batches: Sequence[MicroBatch]) -> Outcome:
    each = torch.stack(list(losses))
    finite = torch.isfinite(each)
    values = torch.cat([torch.stack([each.sum(), norm.to(each.dtype)]), finite.to(each.dtype)]).tolist()
    loss, grad_norm, *are_finite = values
    return Outcome(
        loss=loss,
        grad_norm=grad_norm,
        positions=tuple(position for batch in batches for position in batch.rows),
        suspects=tuple(
            position
            for batch, is_finite in zip(batches, are_finite, strict=True)
            if not is_finite
            for position in batch.rows
        ),
    )

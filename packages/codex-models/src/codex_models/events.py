"""What only the torch trainer has to tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import attrs

from codex_core.events import Event


@attrs.frozen(kw_only=True)
class TrainingPrepared(Event):
    """The trainer is ready: what it will compute with. `dtype` is that of activations; weights are float32.

    `objective` is `pretrain`, `finetune` or `lora`, `supervised_share` the part of all targets that is learned from
    (None where the data does not say), `evaluates` whether evaluation and saved models are the `weights` or their
    running `average`, `arithmetic` everything else that decides the bits of a step.
    """

    kind: ClassVar[str] = "training_prepared"
    step: int
    device: str
    dtype: str
    threads: int
    exactness: str
    num_parameters: int
    micro_batches: int
    torch_version: str
    num_trainable: int = 0
    objective: str = ""
    supervised_share: float | None = None
    evaluates: str = "weights"
    arithmetic: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class UpdateWithheld(Event):
    """A step whose loss or gradient is not finite: no update was applied, and then `action`.

    `loss` and `grad_norm` are the numbers as they were, as text (`nan`, `inf`); `skipped` counts the steps that the
    run went on without, this one included; `positions` are the rows under suspicion.
    """

    kind: ClassVar[str] = "update_withheld"
    step: int
    loss: str
    grad_norm: str
    action: str
    skipped: int
    positions: tuple[int, ...]


@attrs.frozen(kw_only=True)
class LossScaleLowered(Event):
    """Gradients in fp16 overflowed: the update was left out and the loss is scaled by less from now on."""

    kind: ClassVar[str] = "loss_scale_lowered"
    step: int
    factor: float

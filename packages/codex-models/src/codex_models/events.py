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

    def sentence(self) -> str:
        """The run's card: device, arithmetic, exactness, objective, sizes."""
        share = "" if self.supervised_share is None else f" on {self.supervised_share:.1%} of targets"
        average = ", evaluated as a running average" if self.evaluates == "average" else ""
        ratio = self.num_trainable / self.num_parameters
        part = f" ({ratio:.2%})" if ratio < 1 else ""
        return (
            f"exactness {self.exactness}: {self.dtype} on {self.device}, {self.threads} threads, "
            f"torch {self.torch_version}; {self.objective}{share}, {self.num_trainable:,} of "
            f"{self.num_parameters:,} parameters{part}{average}"
        )


@attrs.frozen(kw_only=True)
class UpdateWithheld(Event):
    """A step whose loss or gradient is not finite: no update was applied, and then `action`.

    `loss` and `grad_norm` are the numbers as they were (the journal has `NaN` and `Infinity`); `skipped` counts the
    steps that the run went on without, this one included; `positions` are the rows under suspicion.
    """

    kind: ClassVar[str] = "update_withheld"
    step: int
    loss: float
    grad_norm: float
    action: str
    skipped: int
    positions: tuple[int, ...]

    def sentence(self) -> str:
        """What was withheld, why, and what comes next."""
        return (
            f"warning: step {self.step} was not applied, its loss is {self.loss} and its gradient norm "
            f"{self.grad_norm}: {self.action}"
        )


@attrs.frozen(kw_only=True)
class LossScaleLowered(Event):
    """Gradients in fp16 overflowed: the update was left out and the loss is scaled by less from now on."""

    kind: ClassVar[str] = "loss_scale_lowered"
    step: int
    factor: float

    def sentence(self) -> str:
        """The new factor."""
        return (
            f"step {self.step}: fp16 gradients overflowed, the loss is scaled by {self.factor:g} from now on"
        )

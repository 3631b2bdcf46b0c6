"""A running average of the weights, in float32 beside them.

Decisions: the average starts at the weights as they are before the first step and moves after each applied update;
it has no bias correction, so it is a pure function of the weights' history. While it is shown, parameters and
average trade places by reference: not one bit is computed, so training goes on exactly where it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class WeightAverage:
    """The average of named parameters with a decay per step."""

    def __init__(self, parameters: Mapping[str, nn.Parameter], *, decay: float) -> None:
        self.parameters = parameters
        self.decay = decay
        self.tensors: dict[str, Tensor] = {}
        self.take_over()

    def take_over(self) -> None:
        """Set the average to the parameters as they are now."""
        self.tensors = {name: value.detach().clone() for name, value in self.parameters.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Move towards the parameters."""
        values: list[Tensor] = [self.parameters[name] for name in self.tensors]
        torch._foreach_lerp_(list(self.tensors.values()), values, 1.0 - self.decay)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """The average in place of the parameters inside, the parameters themselves afterwards."""
        self._trade_places()
        try:
            yield
        finally:
            self._trade_places()

    def _trade_places(self) -> None:
        for name, parameter in self.parameters.items():
            parameter.data, self.tensors[name] = self.tensors[name], parameter.data

"""The factor on a loss in fp16, without which small gradients would be lost.

Decisions: the factor is a power of two, so scaling changes no digit; it is halved when a gradient overflows (that
update is left out) and doubled after `growth_steps` steps without an overflow; factor and count are saved with a
checkpoint. An overflow at the smallest factor is no matter of scale any more: it is judged like any other number
that is not finite.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

_LARGEST, _SMALLEST = 2.0**24, 1.0


@attrs.define(kw_only=True)
class LossScaler:
    """`factor` multiplies the loss, and divides the gradients."""

    factor: float = 2.0**16
    growth_steps: int = 2000
    good_steps: int = 0

    @property
    def can_shrink(self) -> bool:
        """Whether a smaller factor is left to try."""
        return self.factor > _SMALLEST

    def overflowed(self) -> None:
        """A gradient was not finite: try a smaller factor from the next step on."""
        self.factor, self.good_steps = max(_SMALLEST, self.factor / 2.0), 0

    def succeeded(self) -> None:
        """A step was applied."""
        self.good_steps += 1
        if self.good_steps >= self.growth_steps:
            self.factor, self.good_steps = min(_LARGEST, self.factor * 2.0), 0

    def state(self) -> dict[str, Any]:
        """What a resume needs."""
        return {"factor": self.factor, "good_steps": self.good_steps}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
        self.factor, self.good_steps = state["factor"], state["good_steps"]

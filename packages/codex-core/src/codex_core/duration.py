"""How long something lasts or how often it happens: `300 steps`, `2 epochs`, `1e6 tokens`.

Decisions: a duration stays a value until the data is prepared; only `plan.settle` turns it into steps.
Zero means never. A bare integer in a configuration means steps.
"""

from __future__ import annotations

import math
import re

import attrs

UNITS = ("steps", "epochs", "tokens")

_TEXT = re.compile(r"\s*([0-9][0-9_]*(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)\s*(steps?|epochs?|tokens?)?\s*")


@attrs.frozen
class Duration:
    """An amount of steps, epochs or tokens; epochs may be fractional, steps and tokens are whole."""

    amount: float
    unit: str = "steps"

    def __attrs_post_init__(self) -> None:
        if self.unit not in UNITS:
            raise ValueError(f"unit must be one of {', '.join(UNITS)}; got {self.unit!r}")
        if not (math.isfinite(self.amount) and self.amount >= 0):
            raise ValueError(f"a duration is zero or more; got {self.amount!r}")
        if self.unit != "epochs" and self.amount != int(self.amount):
            raise ValueError(f"{self.unit} are whole numbers; got {self.amount!r}")

    @classmethod
    def parse(cls, text: str | float | Duration) -> Duration:
        """Read `300`, `300 steps`, `1.5 epochs` or `1e6 tokens`; raises `ValueError` with the accepted forms.

        >>> Duration.parse("1e6 tokens")
        Duration(amount=1000000.0, unit='tokens')
        """
        if isinstance(text, Duration):
            return text
        if isinstance(text, bool):
            raise ValueError("a duration is a number with a unit such as '300 steps'; got a truth value")
        if isinstance(text, (int, float)):
            return cls(float(text))
        match = _TEXT.fullmatch(text)
        if match is None:
            raise ValueError(f"a duration reads '300 steps', '2 epochs' or '1e6 tokens'; got {text!r}")
        number, unit = match.groups()
        return cls(float(number.replace("_", "")), (unit or "steps").rstrip("s") + "s")

    def steps(self, *, tokens_per_step: float, steps_per_epoch: float) -> int:
        """The duration in optimizer steps, rounded up, so that what was asked for is covered."""
        if self.unit == "steps":
            return int(self.amount)
        per_step = tokens_per_step if self.unit == "tokens" else 1.0 / steps_per_epoch
        return math.ceil(self.amount / per_step - 1e-9)

    def __str__(self) -> str:
        shown = int(self.amount) if self.amount == int(self.amount) else self.amount
        return f"{shown} {self.unit}"

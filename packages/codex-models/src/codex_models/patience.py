"""Ending a training whose evaluations stopped getting better.

Decisions: an evaluation counts as better when it beats the best so far by more than `min_delta`; a number that is
not finite is never better; what is remembered is saved with a checkpoint, so a resumed run ends where the unbroken
one does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import attrs

from codex_core.errors import ConfigError


@attrs.define(kw_only=True)
class Patience:
    """How long to wait for which metric, and how long was waited; `limit` None waits for ever."""

    limit: int | None
    metric: str | None = None
    mode: str = "min"
    min_delta: float = 0.0
    best: float | None = None
    best_step: int = 0
    waited: int = 0

    @property
    def exhausted(self) -> bool:
        """Whether training should end."""
        return self.limit is not None and self.waited >= self.limit

    def take(self, metrics: Mapping[str, float], step: int) -> None:
        """Take an evaluation into account; raises `ConfigError` when it lacks the metric."""
        if self.limit is None:
            return
        value = metrics[self._name_among(metrics)]
        if self._is_better(value):
            self.best, self.best_step, self.waited = value, step, 0
        else:
            self.waited += 1

    def state(self) -> dict[str, Any]:
        """What a resume needs."""
        return {"best": self.best, "best_step": self.best_step, "waited": self.waited}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
        self.best, self.best_step, self.waited = state["best"], state["best_step"], state["waited"]

    def _is_better(self, value: float) -> bool:
        if not math.isfinite(value):
            return False
        if self.best is None:
            return True
        gain = self.best - value if self.mode == "min" else value - self.best
        return gain > self.min_delta

    def _name_among(self, metrics: Mapping[str, float]) -> str:
        name = self.metric or next(iter(metrics), None)
        if name is None or name not in metrics:
            raise ConfigError(
                code="TRN-010",
                what=f"trainer.patience waits for {name or 'a metric'}, which the evaluation does not compute",
                where="trainer.patience_metric",
                why=f"it computes {', '.join(metrics) or 'nothing'}",
                fix="name one of these, or add the metric to evaluation.metrics",
            )
        return name

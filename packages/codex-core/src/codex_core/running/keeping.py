"""What a lock says of keeping checkpoints, as the rule of retention.

Decisions: checkpoints are ranked by a number of the evaluation of their own step; without `best_metric` by the
first metric that is evaluated, and without `best_mode` in the direction that the metric names itself. A run that
evaluates nothing ranks nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from codex_core.lock import Lock
from codex_core.running.retention import Rule

_HOUR_S = 3600.0


def rule_of(lock: Lock, *, metrics: Sequence[Any] = ()) -> Rule:
    """The rule of a run; `metrics` are the objects that its evaluations compute, in order.

    Values that an older lock does not have are those under which it was written: nothing is kept besides.
    """
    held = lock.config.get("checkpoint", {})
    hours = held.get("keep_for")
    keep_best = int(held.get("keep_best", 0))
    ranked = _ranked(metrics, held.get("best_metric")) if keep_best and lock.evaluate_every else None
    mode = held.get("best_mode", "auto")
    if mode == "auto" and ranked is not None:
        mode = "max" if ranked.higher_is_better else "min"
    return Rule(
        keep_last=int(held.get("keep_last", 0)),
        keep_best=keep_best,
        split=str(lock.config.get("evaluation", {}).get("split", "validation")),
        metric="" if ranked is None else str(ranked.name),
        mode=mode,
        keep_every=int(lock.durations.get("checkpoint.keep_every", 0)),
        keep_for_s=None if hours is None else float(hours) * _HOUR_S,
    )


def _ranked(metrics: Sequence[Any], name: str | None) -> Any:
    """The metric that ranks: the named one, else the first; None when there is none."""
    return next((metric for metric in metrics if name in (None, metric.name)), None)

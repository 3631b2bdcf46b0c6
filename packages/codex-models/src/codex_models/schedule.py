"""The learning rate as a pure function of the step: nothing to save, nothing to drift.

Decisions: every schedule begins with a linear rise; where a plateau or a fall would begin before the rise ends, the
lower of the two counts, so that no schedule jumps.
"""

from __future__ import annotations

import math


def learning_rate(
    step: int,
    *,
    schedule: str,
    peak: float,
    warmup_steps: int,
    total_steps: int,
    min_ratio: float,
    decay_share: float,
) -> float:
    """Learning rate of `step` (from 1) under `cosine`, `linear`, `wsd` or `constant`.

    >>> settings = {"peak": 1.0, "warmup_steps": 2, "total_steps": 10, "min_ratio": 0.0, "decay_share": 0.4}
    >>> [learning_rate(step, schedule="wsd", **settings) for step in (1, 2, 6, 8, 10)]
    [0.5, 1.0, 1.0, 0.5, 0.0]
    """
    if schedule == "cosine":
        return cosine_lr(
            step, peak=peak, warmup_steps=warmup_steps, total_steps=total_steps, min_ratio=min_ratio
        )
    rise = step / warmup_steps if step < warmup_steps else 1.0
    if schedule == "constant":
        return peak * rise
    first = warmup_steps if schedule == "linear" else total_steps - decay_share * total_steps
    fallen = min(1.0, max(0.0, (step - first) / max(1.0, total_steps - first)))
    return peak * min(rise, 1.0 - (1.0 - min_ratio) * fallen)


def cosine_lr(step: int, *, peak: float, warmup_steps: int, total_steps: int, min_ratio: float) -> float:
    """Learning rate of `step` (from 1): linear rise over the warm-up, then half a cosine down to `min_ratio`.

    >>> [round(cosine_lr(s, peak=1.0, warmup_steps=2, total_steps=6, min_ratio=0.0), 3) for s in range(1, 7)]
    [0.5, 1.0, 0.854, 0.5, 0.146, 0.0]
    """
    if step < warmup_steps:
        return peak * step / warmup_steps
    done = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    return peak * (min_ratio + (1.0 - min_ratio) * 0.5 * (1.0 + math.cos(math.pi * min(1.0, done))))

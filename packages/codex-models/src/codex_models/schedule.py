"""The learning rate as a pure function of the step: nothing to save, nothing to drift."""

from __future__ import annotations

import math


def cosine_lr(step: int, *, peak: float, warmup_steps: int, total_steps: int, min_ratio: float) -> float:
    """Learning rate of `step` (from 1): linear rise over the warm-up, then half a cosine down to `min_ratio`.

    >>> [round(cosine_lr(s, peak=1.0, warmup_steps=2, total_steps=6, min_ratio=0.0), 3) for s in range(1, 7)]
    [0.5, 1.0, 0.854, 0.5, 0.146, 0.0]
    """
    if step < warmup_steps:
        return peak * step / warmup_steps
    done = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    return peak * (min_ratio + (1.0 - min_ratio) * 0.5 * (1.0 + math.cos(math.pi * min(1.0, done))))

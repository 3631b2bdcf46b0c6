"""The learning rate in closed form."""

from __future__ import annotations

import math

import pytest

from codex_models.schedule import cosine_lr


def _lr(step: int, **changes: float) -> float:
    given = {"peak": 2.0, "warmup_steps": 4, "total_steps": 24, "min_ratio": 0.1} | changes
    return cosine_lr(step, **given)


def test_lr_rises_linearly_then_falls_along_a_cosine():
    """Quarter of the peak at a quarter of the warm-up, the peak at its end, the closed form after it."""
    assert _lr(1) == pytest.approx(0.5)
    assert _lr(4) == pytest.approx(2.0)
    for step in range(4, 25):
        done = (step - 4) / 20
        assert _lr(step) == pytest.approx(2.0 * (0.1 + 0.9 * (1 + math.cos(math.pi * done)) / 2))
    assert _lr(24) == pytest.approx(0.2)


def test_lr_is_finite_in_corner_cases():
    """No warm-up, nothing but warm-up, and one single step all have a rate."""
    assert _lr(1, warmup_steps=0, total_steps=1, min_ratio=0.0) == pytest.approx(0.0)
    assert _lr(24, warmup_steps=24) == pytest.approx(2.0)
    assert _lr(1, warmup_steps=1, total_steps=1) == pytest.approx(2.0)

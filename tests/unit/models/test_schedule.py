"""The learning rate in closed form."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from codex_models.schedule import cosine_lr, learning_rate
from tests.support.decoders import options_for, train


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


def _rate(step: int, schedule: str, **changes: float) -> float:
    given = {"peak": 2.0, "warmup_steps": 4, "total_steps": 24, "min_ratio": 0.1, "decay_share": 0.25}
    return learning_rate(step, schedule=schedule, **(given | changes))


#: Five points of each schedule, worked out by hand: peak 2, warm-up 4 of 24 steps, floor 0.2, decay over the last 6.
POINTS = {
    "cosine": {1: 0.5, 4: 2.0, 9: 0.2 + 1.8 * (1 + math.cos(math.pi / 4)) / 2, 14: 1.1, 24: 0.2},
    "linear": {1: 0.5, 4: 2.0, 9: 1.55, 14: 1.1, 24: 0.2},
    "wsd": {1: 0.5, 4: 2.0, 18: 2.0, 21: 1.1, 24: 0.2},
    "constant": {1: 0.5, 3: 1.5, 4: 2.0, 14: 2.0, 24: 2.0},
}


@pytest.mark.parametrize("schedule", POINTS)
def test_schedules_equal_their_closed_form(schedule):
    """Each schedule has the rate worked out by hand at five points, warm-up and last step among them."""
    for step, rate in POINTS[schedule].items():
        assert _rate(step, schedule) == pytest.approx(rate)


@pytest.mark.parametrize("schedule", POINTS)
def test_schedules_stay_within_zero_and_peak_in_corner_cases(schedule):
    """No warm-up, nothing but warm-up, a decay that overlaps the warm-up, one step: never a jump above the peak."""
    corners = [
        {"warmup_steps": 0},
        {"warmup_steps": 24},
        {"decay_share": 1.0},
        {"decay_share": 0.0},
        {"warmup_steps": 0, "total_steps": 1},
    ]
    for corner in corners:
        last = int(corner.get("total_steps", 24))
        rates = [_rate(step, schedule, **corner) for step in range(1, last + 1)]
        assert all(0.0 <= rate <= 2.0 for rate in rates)
    overlapping = [_rate(step, "wsd", warmup_steps=12, decay_share=1.0) for step in range(1, 25)]
    assert max(abs(b - a) for a, b in pairwise(overlapping)) < 0.25


@pytest.mark.parametrize("schedule", POINTS)
def test_rate_is_in_each_row_and_survives_a_resume(tmp_path, schedule):
    """The logged rates are the closed form, in the unbroken run and in one that was resumed half-way."""
    options = options_for(schedule=schedule)
    whole = train(tmp_path / "a", options=options, log_every=1, save_at=frozenset({4}))
    rest = train(tmp_path / "b", options=options, log_every=1, parent=whole.checkpoints.saved[4])
    rates = {event.step: event.metrics["lr"] for event in whole.of_kind("step")}
    settings = {"peak": 1e-2, "warmup_steps": 2, "total_steps": 8, "min_ratio": 0.1, "decay_share": 0.2}
    assert rates == {step: learning_rate(step, schedule=schedule, **settings) for step in range(1, 9)}
    assert {event.step: event.metrics["lr"] for event in rest.of_kind("step")} == {
        step: rates[step] for step in range(5, 9)
    }

"""Ending early: what counts as better, and that a resumed run ends where the unbroken one does."""

from __future__ import annotations

import math

import pytest

from codex_core import config
from codex_core.errors import ConfigError
from codex_models.patience import Patience
from tests.support.decoders import options_for, train
from tests.support.our_plugins import our_registry

#: One value per evaluation; the best is the third.
VALUES = [3.0, 2.5, 2.0, 2.2, 2.1, 2.05, 1.0, 0.5]


def _train(folder, *, values=VALUES, name="loss", **changes):
    def evaluate(live, step):
        return {name: values[step - 1]}

    options = changes.pop("options", None) or options_for(patience=3)
    return train(folder, options=options, evaluate=evaluate, evaluate_every=1, **changes)


def test_training_ends_after_so_many_evaluations_without_a_better_one(tmp_path):
    """Three values in a row that are no better than the best end the run, saved, with reason `early`."""
    trained = _train(tmp_path)
    assert (trained.result.steps, trained.result.reason) == (6, "early")
    assert list(trained.checkpoints.saved) == [6]


def test_patience_is_part_of_a_checkpoint(tmp_path):
    """Resumed after any step, the run ends where the unbroken one did; what ended early stays ended."""
    whole = _train(tmp_path / "a", save_at=frozenset(range(1, 9)))
    for step in range(1, 6):
        rest = _train(tmp_path / f"b{step}", parent=whole.checkpoints.saved[step])
        assert (rest.result.steps, rest.result.reason) == (6, "early")
    again = _train(tmp_path / "c", parent=whole.checkpoints.saved[6])
    assert (again.result.steps, again.result.reason) == (6, "early")
    longer = _train(tmp_path / "d", parent=whole.checkpoints.saved[6], options=options_for(patience=4))
    assert (longer.result.steps, longer.result.reason) == (8, "finished")


@pytest.mark.parametrize(
    ("mode", "min_delta", "values", "waited"),
    [
        ("min", 0.0, [2.0, 2.0, 2.0], 2),
        ("min", 0.5, [2.0, 1.6, 1.4], 0),
        ("min", 0.5, [2.0, 1.5, 1.5], 2),
        ("max", 0.0, [1.0, 2.0, 1.5], 1),
        ("max", 0.25, [1.0, 1.2, 1.3], 0),
        ("min", 0.0, [math.nan, 2.0, math.nan], 1),
        ("max", 0.0, [1.0, math.inf, math.inf], 2),
    ],
)
def test_better_is_by_mode_and_more_than_the_least_difference(mode, min_delta, values, waited):
    """Equal is not better, a gain of exactly `min_delta` is not, and what is not finite never is."""
    patience = Patience(limit=5, mode=mode, min_delta=min_delta)
    for step, value in enumerate(values, 1):
        patience.take({"x": value}, step)
    assert patience.waited == waited


def test_metric_by_name_or_the_first(tmp_path):
    """The first metric is waited for unless one is named; a metric that nothing computes is refused."""
    patience = Patience(limit=1, metric="b")
    patience.take({"a": 1.0, "b": 5.0}, 1)
    assert patience.best == 5.0
    with pytest.raises(ConfigError, match="which the evaluation does not compute") as caught:
        _train(tmp_path, options=options_for(patience=2, patience_metric="acc"))
    assert "loss" in caught.value.why


def test_patience_without_evaluations_is_refused(tmp_path):
    """Waiting for evaluations that never come is a mistake of the configuration, and so are its idle options."""
    with pytest.raises(ConfigError, match="there are none"):
        train(tmp_path, options=options_for(patience=2))
    with pytest.raises(ValueError, match="min_delta count only with patience"):
        options_for(min_delta=0.1)


def test_patience_without_evaluations_is_a_mistake_of_the_configuration():
    """The configuration is refused already: nothing is read or prepared for a run that would wait for ever."""
    values = {
        "data": {"sources": ["pydoc"]},
        "tokenizer": "bytes",
        "model": "decoder",
        "trainer": {"name": "torch", "patience": 2},
        "evaluation": {"every": 0},
        "safety": {"name": "none", "reason": "a test"},
    }
    with pytest.raises(ConfigError, match="waits for 2 evaluations, and there are none"):
        config.from_mapping(values, source="test", registry=our_registry())


def test_without_patience_training_never_ends_early(tmp_path):
    """However bad the values are, a run that was not given patience goes on to its last step."""
    trained = _train(tmp_path, values=list(range(8)), options=options_for())
    assert (trained.result.steps, trained.result.reason) == (8, "finished")

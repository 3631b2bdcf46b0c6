"""What every metric must do."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from codex_core.contracts import Metric
from codex_core.errors import InputError
from codex_core.records import MetricValue, ScoredText
from codex_core.testing.claims import claim, refuses

NEEDS = ("loglikelihood", "generation", "tokens")

#: Texts with awkward numbers: tiny, large and many that do not sum the same way in another order.
SCORED_TEXTS = (
    ScoredText(id="a", text="one two", num_bytes=7, ids=(3, 4, 1), logprobs=(-0.1, -0.2, -0.3)),
    ScoredText(id="b", text="é", num_bytes=2, ids=(5, 1), logprobs=(-1e-17, -30.7)),
    ScoredText(
        id="c", text="x" * 50, num_bytes=50, ids=(6,) * 50, logprobs=tuple(-0.1 * i for i in range(50))
    ),
    ScoredText(id="d", text="yes", num_bytes=3, ids=(7,), logprobs=(-1e8,)),
)


def check_metric(
    cls: Callable[[Any], Metric], options: Any, *, scored: Sequence[ScoredText] = SCORED_TEXTS
) -> None:
    """Measure `scored` in two orders and nothing at all."""
    metric = cls(options)
    claim(isinstance(metric, Metric), "the target's objects lack a member of contracts.Metric")
    claim(metric.needs in NEEDS, f"needs is {metric.needs!r}, not one of {', '.join(NEEDS)}")
    claim(
        bool(metric.name and metric.unit and metric.reference),
        "a metric names itself, its unit and a reference",
    )
    signature = metric.signature()
    claim(bool(signature) and "\n" not in signature, "a signature is one line")
    refuses(metric.compute, InputError, "a metric over no text must raise InputError")
    forward, backward = _measured(cls(options), scored), _measured(cls(options), scored[::-1])
    claim(forward == backward, "the order of texts changes the number")
    claim(forward.name == metric.name and forward.unit == metric.unit, "the value bears another name or unit")
    claim(forward.signature == signature, "the value bears another signature")
    claim(forward.count > 0, "the value does not say over how many things it was taken")
    claim(isinstance(forward.value, float) and not math.isnan(forward.value), "the value is no number")
    halves = cls(options)
    _measured(halves, scored[:2])
    claim(_measured(halves, scored[2:]) == forward, "asking for the number in between changes it")


def _measured(metric: Metric, scored: Sequence[ScoredText]) -> MetricValue:
    for text in scored:
        metric.update(text)
    return metric.compute()

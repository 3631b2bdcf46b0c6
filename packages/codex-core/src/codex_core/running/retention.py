"""Which checkpoints may go. Pure: it decides, and `checkpoints` removes.

Decisions: the newest and the best are separate sets, and what is in either stays; of equal numbers the earlier step
is better, so that a plateau removes nothing; what was not evaluated at its own step, or with a number that is not
finite, is never among the best; the newest checkpoint, the best, pinned and permanent ones outlive any age.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import attrs


@attrs.frozen(kw_only=True)
class Rule:
    """What stays: the newest `keep_last` (0: all of them), the best `keep_best`, each multiple of `keep_every` steps.

    `mode` is `min` or `max`; `metric` and `split` name the number. `keep_for_s` is the age in seconds at which a
    checkpoint goes although it is among the newest; None: never.
    """

    keep_last: int = 0
    keep_best: int = 0
    split: str = ""
    metric: str = ""
    mode: str = "min"
    keep_every: int = 0
    keep_for_s: float | None = None

    @property
    def ranks(self) -> bool:
        """Whether there is a number by which checkpoints are better or worse."""
        return self.keep_best > 0 and bool(self.metric)


@attrs.frozen(kw_only=True)
class Candidate:
    """A checkpoint as the rule sees it: its step, its number, its age in seconds, and whether somebody pinned it."""

    step: int
    value: float | None = None
    age_s: float | None = None
    is_pinned: bool = False


def best(candidates: Iterable[Candidate], rule: Rule) -> list[Candidate]:
    """The best `keep_best`, best first; fewer when fewer have a finite number.

    >>> steps = [Candidate(step=1, value=2.0), Candidate(step=2, value=1.0), Candidate(step=3, value=1.0)]
    >>> [one.step for one in best(steps, Rule(keep_best=2, metric="loss"))]
    [2, 3]
    """
    if not rule.ranks:
        return []
    sign = 1.0 if rule.mode == "min" else -1.0
    ranked = [
        (sign * one.value, one.step, one)
        for one in candidates
        if one.value is not None and math.isfinite(one.value)
    ]
    return [one for _, _, one in sorted(ranked, key=lambda held: held[:2])[: rule.keep_best]]


def to_prune(candidates: Iterable[Candidate], rule: Rule) -> list[int]:
    """The steps that may go, oldest first.

    >>> to_prune([Candidate(step=step) for step in (10, 9, 30, 20)], Rule(keep_last=2))
    [9, 10]
    """
    ordered = sorted(candidates, key=lambda one: one.step)
    newest = ordered[-rule.keep_last :] if rule.keep_last > 0 else ordered
    young = {one.step for one in newest if not _is_expired(one, rule)}
    always = {one.step for one in (*ordered[-1:], *best(ordered, rule))}
    always |= {one.step for one in ordered if one.is_pinned or _is_permanent(one.step, rule)}
    return [one.step for one in ordered if one.step not in young | always]


def _is_expired(one: Candidate, rule: Rule) -> bool:
    return rule.keep_for_s is not None and one.age_s is not None and one.age_s > rule.keep_for_s


def _is_permanent(step: int, rule: Rule) -> bool:
    return rule.keep_every > 0 and step % rule.keep_every == 0

"""A training watched while it repeats another one: the first number that is not the same ends it.

Decisions: a step's digest comes before its metric row, and within a digest the loss was computed first, then the
gradient norm, then the parameters; the first of these that differs is the answer. Where equal bits were never
promised (L0), losses are compared within a share of them, and the largest distance is told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs

from codex_core.contracts import Emit
from codex_core.events import Event, ProgressMade
from codex_core.journal import plain
from codex_core.running.reference import Reference
from codex_core.running.views import TRAIN, row_of

#: How far a loss may be from the other one, as a share of it, where equal bits were not promised.
LOOSE = 0.05


@attrs.frozen(kw_only=True)
class Difference:
    """The first thing that differs: in which step, what, its value in the run and here, and which tensors."""

    step: int
    what: str
    there: Any
    here: Any
    tensors: tuple[str, ...] = ()
    num_tensors: int = 0

    def text(self) -> str:
        """One readable line, without the step."""
        if self.what != "parameters":
            return f"the {self.what} differs first: {_shown(self.there)} in the run, {_shown(self.here)} here"
        shown = ", ".join(self.tensors[:5]) + (" ..." if len(self.tensors) > 5 else "")
        return f"loss and gradient norm are equal; {len(self.tensors)} of {self.num_tensors} tensors differ: {shown}"


@attrs.define(kw_only=True, eq=False)
class Comparison:
    """Takes the events of a training and compares them with what a run recorded, up to step `total`."""

    reference: Reference
    total: int
    loosely: bool = False
    step: int = 0
    compared: set[int] = attrs.field(factory=set)
    rows: int = 0
    largest: float = 0.0
    difference: Difference | None = None

    def take(self, event: Event) -> None:
        """Look at one event; nothing after the first difference counts."""
        if isinstance(event, ProgressMade):
            if event.phase == TRAIN:
                self.step = max(self.step, event.done)
            return
        fields = plain(event.fields())
        if event.kind in ("step", "step_digest"):
            self.step = max(self.step, int(fields["step"]))
        if self.difference is not None or fields.get("step", 0) > self.total:
            return
        if event.kind == "step_digest":
            self._digest(fields)
        elif event.kind in ("step", "evaluation"):
            self._row(event.kind, fields)

    def watching(self, display: Emit) -> Emit:
        """A display that looks at every event before it passes it on."""

        def show(event: Event) -> None:
            self.take(event)
            display(event)

        return show

    def stopping(self, until: int) -> Callable[[], str | None]:
        """The question that is asked after each step: why to stop now; `until` ends a part, 0 none."""

        def why() -> str | None:
            if self.difference is not None:
                return f"step {self.difference.step} differs"
            if self.step >= self.total:
                return f"repeated up to step {self.total}"
            return f"the part ends at step {until}" if until and self.step >= until else None

        return why

    @property
    def is_over(self) -> bool:
        """Whether there is nothing more to compare."""
        return self.difference is not None or self.step >= self.total

    def _digest(self, here: Mapping[str, Any]) -> None:
        step = here["step"]
        there = self.reference.digests.get(step)
        if there is None:
            return
        for field, name in (("loss", "loss"), ("grad_norm", "gradient norm")):
            if not self._agree(there[field], here[field]):
                self.difference = Difference(step=step, what=name, there=there[field], here=here[field])
                return
        if not self.loosely and there["parameters"] != here["parameters"]:
            names = sorted(there["tensors"].keys() | here["tensors"].keys())
            differing = [name for name in names if there["tensors"].get(name) != here["tensors"].get(name)]
            self.difference = Difference(
                step=step,
                what="parameters",
                there=there["parameters"],
                here=here["parameters"],
                tensors=tuple(differing),
                num_tensors=len(names),
            )
            return
        self.compared.add(step)

    def _row(self, kind: str, fields: Mapping[str, Any]) -> None:
        here = row_of(kind, fields)
        assert here is not None, "steps and evaluations have rows"
        there = self.reference.rows.get((here["step"], here["split"]))
        if there is None:
            return
        for name in sorted(there.keys() | here.keys()):
            if self.loosely and name != "loss":
                continue
            if not self._agree(there.get(name), here.get(name)):
                what = f"{name} of {here['split']}" if here["split"] != TRAIN else f"logged {name}"
                self.difference = Difference(
                    step=here["step"], what=what, there=there.get(name), here=here.get(name)
                )
                return
        self.rows += 1
        if not self.reference.digests:
            self.compared.add(here["step"])

    def _agree(self, there: Any, here: Any) -> bool:
        if not self.loosely:
            return bool(there == here)
        one, other = _number(there), _number(here)
        if one is None or other is None:
            return True
        distance = abs(one - other) / max(abs(one), 1e-12)
        self.largest = max(self.largest, distance)
        return distance <= LOOSE


def _number(value: Any) -> float | None:
    """A float out of a row or out of a digest."""
    if isinstance(value, str):
        try:
            return float.fromhex(value)
        except ValueError:
            return None
    return float(value) if isinstance(value, (int, float)) else None


def _shown(value: Any) -> str:
    """A value as people read it; a float of a digest in both spellings."""
    number = _number(value)
    if value is None:
        return "nothing"
    return f"{number!r} ({value})" if isinstance(value, str) and number is not None else str(value)

"""What the display says off a terminal: little, in time, and never nothing at the end."""

from __future__ import annotations

import io
from typing import ClassVar

import attrs

from codex_core.cli.progress import QUIET_S, Display
from codex_core.events import EvaluationDone, Event, ProgressMade, RunStarted, StepDone, Warned


def shown(events, *, verbosity=0, seconds_per_event=0.0):
    """The lines that a display off a terminal prints for events."""
    stream, now = io.StringIO(), [0.0]
    with Display(verbosity=verbosity, stream=stream, clock=lambda: now[0]) as display:
        for event in events:
            display(event)
            now[0] += seconds_per_event
    return stream.getvalue().splitlines()


def steps(count):
    """A run of `count` steps, each of which is reported."""
    start = RunStarted(run_id="r", name="n", attempt=1, lock_digest="d", steps=count)
    return [start, *(StepDone(step=n, tokens=n, metrics={"loss": 1.0}) for n in range(1, count + 1))]


def test_fast_run_prints_about_one_line_per_five_percent():
    """A thousand quick steps give some twenty lines, the last of which says that all are done."""
    lines = shown(steps(1000))

    assert 15 <= len(lines) <= 25
    assert lines[-1].startswith("training 1000/1000 (100%)")


def test_slow_run_prints_a_line_once_the_quiet_time_is_over():
    """When steps take long, a line appears for each step although less than 5 % was done."""
    lines = shown(steps(1000)[:6], seconds_per_event=QUIET_S + 1)

    assert [line.split()[1] for line in lines[1:]] == ["2/1000", "3/1000", "4/1000", "5/1000"]


def test_quiet_display_prints_nothing():
    """With `-q` not even warnings come from the display; they stand in the journal."""
    assert shown([Warned(code="X-1", text="look"), *steps(10)], verbosity=-1) == []


def test_warnings_and_evaluations_are_always_said():
    """Facts that are not progress are printed at once."""
    events = [
        Warned(code="TRN-1", text="first loss is far from ln(V)"),
        EvaluationDone(step=5, split="validation", metrics={"bits_per_byte": 1.5}),
        ProgressMade(phase="read", done=1, total=None),
    ]

    assert shown(events) == [
        "warning[TRN-1]: first loss is far from ln(V)",
        "step 5  validation: bits_per_byte 1.5000",
    ]


@attrs.frozen(kw_only=True)
class Prepared(Event):
    """An event of a package that the display does not know."""

    kind: ClassVar[str] = "prepared"
    level: str

    def sentence(self) -> str:
        """What a person is told."""
        return f"exactness {self.level}"


def test_events_of_other_packages_are_said_in_their_own_words():
    """An event that the display does not know is told as it says itself, and not at all when it says nothing."""
    assert shown([Prepared(level="L1"), Event()]) == ["exactness L1"]

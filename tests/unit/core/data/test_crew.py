"""Tasks done by this process and helpers beside it."""

from __future__ import annotations

import os

import pytest

from codex_core.data import crew
from codex_core.errors import InputError, RunFailed
from codex_core.events import Warned
from tests.support.tasks import Dying, Failing, Local, Square


def run(task, count, *, workers, **options):
    """What the tasks give, and the events."""
    results, events = [], []
    crew.run(task, range(count), workers=workers, on_done=results.append, on_event=events.append, **options)
    return results, events


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_every_number_is_done_once(workers):
    """Whoever does it: each number has one result, also when a library prints on standard output."""
    results, events = run(Square(prints=True), 40, workers=workers)

    assert sorted(square for square, _ in results) == [number * number for number in range(40)]
    assert events == []


def test_little_work_stays_here():
    """Fewer tasks than are worth a helper are done by this process."""
    results, _ = run(Square(), 3, workers=8)

    assert {process for _, process in results} == {os.getpid()}


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_the_first_failure_in_order_is_raised(workers):
    """Of several failures the one with the lowest number is raised, as it was raised, for any number of workers."""
    with pytest.raises(InputError) as caught:
        run(Failing(wrong=(5, 6, 7, 8)), 12, workers=workers)

    told = caught.value
    assert (told.code, told.what, told.where, told.fix) == (
        "DAT-004",
        "a row is wrong",
        "rows:5",
        "repair it",
    )


@pytest.mark.slow
def test_a_failure_that_is_none_of_ours_keeps_its_traceback():
    """What a component raises in a helper is raised here with what it said there."""
    with pytest.raises((crew.HelperError, ZeroDivisionError), match="number "):
        run(Failing(wrong=tuple(range(12)), is_ours=False), 12, workers=2)


@pytest.mark.slow
def test_a_helper_that_dies_is_told():
    """A helper that ends in the middle of its work is a failure, not a missing result."""
    with pytest.raises(RunFailed) as caught:
        run(Dying(os.getpid()), 400, workers=2, meanwhile=lambda: None)

    assert caught.value.code == "DAT-030"


def test_what_cannot_be_handed_on_is_done_here():
    """A task that no other process can have is done by one process, which is said."""
    results, events = run(Local(), 8, workers=2)

    assert results == [-number for number in range(8)]
    assert [event.code for event in events if isinstance(event, Warned)] == ["DAT-033"]


@pytest.mark.slow
def test_other_work_comes_first():
    """`meanwhile` is done before this process joins in, with helpers and without."""
    for workers in (1, 2):
        done = []
        crew.run(
            Square(),
            range(8),
            workers=workers,
            on_done=lambda _: None,
            on_event=lambda _: None,
            meanwhile=lambda done=done: done.append("other"),
        )
        assert done == ["other"]

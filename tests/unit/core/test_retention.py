"""Retention: the newest and the best are separate sets, and neither can cost the other a checkpoint."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_core import checkpoints
from codex_core.checkpoints import Rule, Upkeep
from codex_core.events import CheckpointPruned, Warned
from codex_core.running.retention import Candidate, best, to_prune
from tests.support.checkpoint_stores import Clock, save, store_in

LOSS = Rule(keep_last=2, keep_best=2, split="validation", metric="loss")

NUMBERS = st.sampled_from([0.5, 1.0, 1.0, 2.0, 3.0, math.nan, math.inf, -math.inf, None])


def candidates_of(numbers: dict[int, float | None]) -> list[Candidate]:
    return [Candidate(step=step, value=value) for step, value in numbers.items()]


@given(st.lists(NUMBERS, max_size=14), st.integers(0, 4), st.integers(1, 4), st.sampled_from(["min", "max"]))
def test_stream_of_numbers_keeps_the_best_and_the_newest(numbers, keep_best, keep_last, mode):
    """Prune after each save of any stream, ties, NaN and gaps included: what stays is what one look back over the
    whole stream would have kept, so nothing that mattered was lost on the way.
    """
    rule = Rule(keep_last=keep_last, keep_best=keep_best, split="validation", metric="loss", mode=mode)
    present: dict[int, float | None] = {}
    for index, number in enumerate(numbers, start=1):
        present[index * 10] = number
        for step in to_prune(candidates_of(present), rule):
            del present[step]

    whole = {index * 10: number for index, number in enumerate(numbers, start=1)}
    finite = [step for step, number in whole.items() if number is not None and math.isfinite(number)]
    sign = 1 if mode == "min" else -1
    ranked = sorted(finite, key=lambda step: (sign * whole[step], step))[:keep_best]
    assert set(present) == set(ranked) | set(sorted(whole)[-keep_last:])
    assert [one.step for one in best(candidates_of(present), rule)] == ranked


@given(
    st.lists(st.tuples(NUMBERS, st.booleans(), st.integers(0, 9)), min_size=1, max_size=10),
    st.integers(0, 3),
    st.integers(0, 3),
    st.integers(0, 40),
    st.one_of(st.none(), st.integers(0, 9)),
)
def test_newest_best_pinned_and_permanent_always_stay(held, keep_last, keep_best, keep_every, keep_for_s):
    """Whatever the rule and the ages: the newest, the best, pinned and permanent ones are never let go."""
    rule = Rule(
        keep_last=keep_last,
        keep_best=keep_best,
        split="validation",
        metric="loss",
        keep_every=keep_every,
        keep_for_s=keep_for_s,
    )
    present = [
        Candidate(step=index * 10, value=value, is_pinned=pinned, age_s=float(age))
        for index, (value, pinned, age) in enumerate(held, start=1)
    ]
    going = to_prune(present, rule)

    always = {present[-1].step, *(one.step for one in best(present, rule))}
    always |= {one.step for one in present if one.is_pinned or (keep_every and one.step % keep_every == 0)}
    assert not always & set(going) and going == sorted(going)
    if keep_for_s is not None:
        young = {one.step for one in present if one.age_s is not None and one.age_s <= keep_for_s}
        last = {one.step for one in (present[-keep_last:] if keep_last else present)}
        assert set(going) == {one.step for one in present} - always - (young & last)


def saving(store, numbers: dict[int, float | str | None]) -> None:
    """Save steps, each with its own number of the evaluation at that step."""
    for step, number in numbers.items():
        row = {} if number is None else {"validation": {"step": step, "split": "validation", "loss": number}}
        store.metrics = lambda row=row: row
        save(store, step)


def test_ten_saves_leave_the_last_n_and_the_best_k(tmp_path: Path) -> None:
    """After ten saves exactly two newest and two best are there, and the pointers name the newest and the best."""
    events: list[object] = []
    store = store_in(tmp_path, rule=LOSS, emit=events.append)
    values = [9.0, 1.0, 8.0, 7.0, 0.5, 6.0, 5.0, 4.0, 3.0, 2.0]
    saving(store, {step * 10: value for step, value in enumerate(values, start=1)})

    assert sorted(checkpoints.committed(store.root)) == [20, 50, 90, 100]
    last, best_one = (
        json.loads((store.root / f"{name}.json").read_bytes()) for name in ("last", "best-loss")
    )
    assert (last["step"], best_one["step"], best_one["value"]) == (100, 50, 0.5)
    for pointer in (last, best_one):
        found = checkpoints.verify(store.root / pointer["path"])
        assert found.digest == pointer["manifest_digest"]
    pruned = sorted(event.step for event in events if isinstance(event, CheckpointPruned))
    assert pruned == [10, 30, 40, 60, 70, 80]
    table = checkpoints.verify(store.root / "step-00000100").manifest["best"]["table"]
    assert table == [{"step": 50, "value": 0.5}, {"step": 20, "value": 1.0}]


def test_number_of_another_step_ranks_nothing(tmp_path: Path) -> None:
    """A checkpoint without an evaluation of its own step, or with one that is not a number, is never the best."""
    store = store_in(tmp_path, rule=LOSS)
    store.metrics = lambda: {"validation": {"step": 5, "split": "validation", "loss": 0.1}}
    save(store, 10)
    saving(store, {20: "NaN"})

    assert not (store.root / "best-loss.json").exists()
    assert checkpoints.verify(store.root / "step-00000020").manifest["best"]["table"] == []
    saving(store, {30: 4.0})
    assert json.loads((store.root / "best-loss.json").read_bytes())["step"] == 30


def test_best_survives_a_resume(tmp_path: Path) -> None:
    """A further attempt knows the best of the attempts before from their manifests alone."""
    saving(store_in(tmp_path, rule=LOSS), {10: 0.1, 20: 5.0, 30: 4.0})
    again = store_in(tmp_path, rule=LOSS)
    again.clear()
    saving(again, {40: 3.0, 50: 2.0, 60: 1.0})

    assert sorted(checkpoints.committed(again.root)) == [10, 50, 60]


def test_best_pointer_never_names_what_a_resume_moved_aside(tmp_path: Path) -> None:
    """Continue from before the best one: the pointers go back with the run, before anything is moved."""
    store = store_in(tmp_path, rule=LOSS)
    saving(store, {10: 3.0, 20: 0.1})
    again = store_in(tmp_path, rule=LOSS, parent=checkpoints.verify(store.root / "step-00000010"))
    again.clear()

    for name in ("last", "best-loss"):
        assert json.loads((store.root / f"{name}.json").read_bytes())["step"] == 10


def test_age_counts_against_the_clock_that_is_passed_in(tmp_path: Path) -> None:
    """Checkpoints older than `keep_for` go although they are among the newest; newest and best stay."""
    clock = Clock()
    rule = Rule(keep_last=9, keep_best=1, split="validation", metric="loss", keep_for_s=2 * 3600.0)
    store = store_in(tmp_path, rule=rule, now=clock)
    for step, value in ((10, 0.5), (20, 2.0), (30, 3.0), (40, 4.0)):
        saving(store, {step: value})
        clock.pass_hours(1)

    assert sorted(checkpoints.committed(store.root)) == [
        10,
        20,
        30,
        40,
    ]  # at the last save 20 was 2 hours old
    clock.pass_hours(0.5)
    saving(store, {50: 5.0})
    assert sorted(checkpoints.committed(store.root)) == [10, 40, 50]


def test_pinned_and_permanent_ones_stay(tmp_path: Path) -> None:
    """A marker beside the folder pins it, also one made by hand while a training runs; multiples stay for good."""
    store = store_in(tmp_path, rule=Rule(keep_last=1, keep_every=40))
    for step in (10, 20):
        save(store, step)
    checkpoints.pin_path(store.root, 20).touch()
    for step in (30, 40, 50, 60):
        save(store, step)

    assert sorted(checkpoints.committed(store.root)) == [20, 40, 60]


def test_pinned_checkpoint_moved_aside_is_never_removed(tmp_path: Path) -> None:
    """A resume from before it moves it aside, and saving its step anew does not cost the old one."""
    store = store_in(tmp_path)
    for step in (10, 20):
        save(store, step)
    checkpoints.pin_path(store.root, 20).touch()
    again = store_in(tmp_path, parent=checkpoints.verify(store.root / "step-00000010"))
    again.clear()
    save(again, 20)

    assert len(list(store.root.glob("step-00000020.aside-*"))) == 1


def test_nothing_outside_the_run_is_removed(tmp_path: Path) -> None:
    """Upkeep refuses a path that is not directly among the checkpoints, and says so."""
    store = store_in(tmp_path)
    save(store, 10)
    outside = tmp_path / "elsewhere" / "step-00000001"
    outside.mkdir(parents=True)
    upkeep = Upkeep(root=store.root, rule=Rule(keep_last=1))

    upkeep.remove([outside])

    (event,) = upkeep.taken_events()
    assert outside.is_dir() and isinstance(event, Warned) and "outside" in event.text


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"step": 1}', b'{"step": "x", "path": "y"}'])
def test_spoiled_pointers_are_written_anew(tmp_path: Path, content: bytes) -> None:
    """Whatever stands in a pointer, the next save replaces it."""
    store = store_in(tmp_path)
    (store.root / "last.json").write_bytes(content)
    save(store, 10)

    assert json.loads((store.root / "last.json").read_bytes())["step"] == 10

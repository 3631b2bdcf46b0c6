"""Harm checks B1 to B3: a resumed run is the unbroken one, also with everything switched on, and starts at once."""

from __future__ import annotations

import time

import attrs
import pytest

from codex_core.contracts import RowBatch
from tests.support.decoders import TINY, CountingRows, options_for, train
from tests.support.trainings import files_of

NOISY = attrs.evolve(TINY, dropout=0.2)
EVERYTHING = {
    "schedule": "wsd",
    "ema": 0.9,
    "activation_checkpointing": "blocks",
    "patience": 100,
    "on_nonfinite": "skip",
    "micro_batch_rows": 2,
}


@attrs.define(eq=False)
class Ledger:
    """Rows that write down which positions were read."""

    below: CountingRows = attrs.field(factory=CountingRows)
    read: list[int] = attrs.field(factory=list)

    @property
    def num_rows(self) -> int:
        """As below."""
        return self.below.num_rows

    @property
    def seq_len(self) -> int:
        """As below."""
        return self.below.seq_len

    def rows(self, start: int, count: int) -> RowBatch:
        """As below, written down."""
        self.read += range(start, start + count)
        return self.below.rows(start, count)

    def num_supervised(self, start: int, count: int) -> int:
        """As below."""
        return self.below.num_supervised(start, count)


@pytest.mark.parametrize(
    ("at", "exactness"),
    [
        pytest.param(
            at, exactness, marks=() if (at, exactness) in {(3, "L1"), (6, "L2")} else pytest.mark.slow
        )
        for at in range(1, 8)
        for exactness in ("L1", "L2")
    ],
)
def test_b1_resume_with_everything_on_is_the_unbroken_run(tmp_path, at, exactness):
    """Dropout, average, plateau, patience, recomputation, accumulation: resumed after any step, all bytes agree."""

    def go(name, **how):
        return train(
            tmp_path / name,
            options=options_for(**EVERYTHING),
            model=NOISY,
            exactness=exactness,
            evaluate=lambda live, step: {"score": live.loglikelihood([[1, 2, 3]])[0][0]},
            evaluate_every=2,
            log_every=1,
            **how,
        )

    whole = go("whole", save_at=frozenset({at, 8}))
    rest = go("rest", save_at=frozenset({8}), parent=whole.checkpoints.saved[at])
    assert files_of(rest.checkpoints.saved[8]) == files_of(whole.checkpoints.saved[8])
    assert rest.of_kind("step") == [event for event in whole.of_kind("step") if event.step > at]
    assert rest.result == whole.result


def test_b2_a_run_resumed_three_times_reads_each_row_once_in_order(tmp_path):
    """The ledger of rows over four attempts is that of the unbroken run, across the edge of an epoch."""
    whole = Ledger()
    train(tmp_path / "whole", rows=whole)
    pieces = Ledger()
    parent = None
    for number, stop in enumerate((2, 3, 6)):
        asked = iter(range(parent.step + 1 if parent else 1, 9))
        part = train(
            tmp_path / str(number),
            rows=pieces,
            parent=parent,
            should_stop=lambda asked=asked, stop=stop: next(asked) == stop,
        )
        parent = part.checkpoints.saved[stop]
    train(tmp_path / "last", rows=pieces, parent=parent)
    assert pieces.read == whole.read == list(range(32))
    assert len(whole.read) > whole.num_rows


def test_b3_resume_at_step_one_million_starts_at_once(tmp_path):
    """The cursor is arithmetic: a run at step 10**6 takes its next step after less than a second of work."""
    begun = train(tmp_path / "a", steps=1, save_at=frozenset({1})).checkpoints.saved[1]
    far = attrs.evolve(begun, step=10**6, position=4 * 10**6, tokens=36 * 10**6)
    rows = Ledger(CountingRows(num_rows=10**9))
    before = time.process_time()  # what a neighbour on the machine takes is not ours
    trained = train(tmp_path / "b", rows=rows, parent=far, steps=10**6 + 1)
    assert time.process_time() - before < 1.0
    assert trained.result.steps == 10**6 + 1
    assert rows.read == list(range(4 * 10**6, 4 * 10**6 + 4))


def test_activation_checkpointing_changes_no_bit(tmp_path):
    """A run that computes its blocks twice ends with the bytes of one that keeps everything, noise included."""
    kept = train(tmp_path / "a", model=NOISY, save_at=frozenset({8}), log_every=1)
    again = train(
        tmp_path / "b",
        model=NOISY,
        options=options_for(activation_checkpointing="blocks"),
        save_at=frozenset({8}),
        log_every=1,
    )
    assert files_of(kept.checkpoints.saved[8]) == files_of(again.checkpoints.saved[8])
    assert kept.of_kind("step") == again.of_kind("step")

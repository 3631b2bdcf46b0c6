"""However a training is cut into ranks, workers, batches and stops, it reads the same rows in the same order."""

from __future__ import annotations

import hashlib
import random
import tracemalloc
from collections import Counter

import attrs
import numpy as np
import pytest

from codex_core.data.order import rows_at
from codex_core.data.packing import (
    PACKINGS,
    ShuffledRows,
    TokenColumns,
    count_supervised,
    plan_rows,
)
from codex_core.data.slots import EMPTY, collected, dealt, read_slots, slots
from codex_core.data.trace import digest_of_rows

#: Random histories in the whole proof, and in the sample that every run of the suite looks at.
NUM_HISTORIES, NUM_SAMPLED = 600, 12

MOST_RANKS, MOST_WORKERS = 17, 3


@attrs.define
class Counts:
    """What happened in histories."""

    histories: int = 0
    segments: int = 0
    steps: int = 0
    rows: int = 0
    empty_slots: int = 0
    discarded: int = 0
    epochs: int = 0
    ranks: Counter[int] = attrs.field(factory=Counter)
    workers: Counter[int] = attrs.field(factory=Counter)


def documents(rng):
    """Some documents: id (number, place), everything after the first id learned or, rarely, not."""
    lengths = [rng.randint(2, 30) for _ in range(rng.randint(3, 25))]
    offsets = np.cumsum([0, *lengths])
    ids = np.concatenate([100 * number + np.arange(length) for number, length in enumerate(lengths)])
    mask = np.array([rng.random() < 0.9 for _ in ids], dtype=np.uint8)
    mask[offsets[:-1]] = 0
    return TokenColumns(ids=ids, loss_mask=mask, offsets=offsets)


def opened(tokens, *, seq_len, packing, seed):
    """The rows as a process that starts anew opens them."""
    plan = plan_rows(tokens.offsets, seq_len=seq_len, packing=packing)
    supervised = count_supervised(plan, tokens)
    return ShuffledRows(plan=plan, tokens=tokens, supervised=supervised, seed=seed)


def one_row(batch, place):
    """A row of a batch, as a batch."""
    names = [field.name for field in attrs.fields(type(batch))]
    return type(batch)(**{name: getattr(batch, name)[place : place + 1] for name in names})


def chained(before, position, number, row):
    """The chain over positions, row numbers and tokens, one link further."""
    link = digest_of_rows(position, np.array([number]), row)
    return hashlib.sha256(f"{before}{link}".encode()).hexdigest()


def step_of(rows, start, batch_rows, *, world, workers, counts):
    """What all ranks read in a step, by position; what weighs nothing is checked to weigh nothing."""
    found = {}
    supervised = 0
    sizes = set()
    for rank in range(world):
        mine = slots(start, batch_rows, rank=rank, world=world)
        shares = [read_slots(rows, share) for share in dealt(mine, workers)]
        batch = collected(shares)
        sizes.add(len(mine))
        supervised += int(batch.loss_mask.sum())
        for place, position in enumerate(mine.tolist()):
            row = one_row(batch, place)
            if position == EMPTY:
                counts.empty_slots += 1
                assert not row.loss_mask.any() and (row.document_ids == -1).all()
            else:
                assert position not in found, "no row is read twice"
                found[position] = row
    assert len(sizes) == 1, "every rank has as many slots as any other"
    assert supervised == rows.num_supervised(start, batch_rows), "the weights of a step are exact"
    return found


def live_through(seed, counts):
    """One random history: what was consumed, in order, equals the unbroken order, row by row and in its chain."""
    rng = random.Random(seed)
    tokens = documents(rng)
    how = {
        "seq_len": rng.randint(1, 40),
        "packing": rng.choice(sorted(PACKINGS)),
        "seed": rng.getrandbits(63),
    }
    position, chain = 0, ""
    consumed = []
    for _ in range(rng.randint(1, 5)):
        rows = opened(tokens, **how)
        world, workers = rng.randint(1, MOST_RANKS), rng.randint(0, MOST_WORKERS)
        batch_rows = rng.randint(1, 24)
        counts.segments += 1
        counts.ranks[world] += 1
        counts.workers[workers] += 1
        for _ in range(rng.randint(0, 4)):
            found = step_of(rows, position, batch_rows, world=world, workers=workers, counts=counts)
            for at, number in zip(sorted(found), rows.numbers(position, batch_rows).tolist(), strict=True):
                chain = chained(chain, at, number, found[at])
                consumed.append(at)
            position += batch_rows
            counts.steps += 1
        if rng.random() < 0.5:  # read ahead of a step that is never finished: the stop throws it away
            step_of(rows, position, batch_rows, world=world, workers=workers, counts=counts)
            counts.discarded += batch_rows

    rows = opened(tokens, **how)
    unbroken = ""
    pairs = Counter()
    for at in range(position):
        row, number = rows.rows(at, 1), int(rows.numbers(at, 1)[0])
        unbroken = chained(unbroken, at, number, row)
        real = row.document_ids >= 0
        pairs.update((at // rows.num_rows, id) for id in row.inputs[real].tolist())
    assert consumed == list(range(position))
    assert chain == unbroken
    inputs = np.delete(tokens.ids, tokens.offsets[1:] - 1).tolist()  # the last id of a document is no input
    for epoch in range(position // rows.num_rows):
        counts.epochs += 1
        assert all(pairs[epoch, id] == 1 for id in inputs)
    assert max(pairs.values(), default=1) == 1
    counts.histories += 1
    counts.rows += position


def test_any_history_reads_every_row_once_and_in_order():
    """A sample of the histories of the proof below."""
    counts = Counts()
    for seed in range(NUM_SAMPLED):
        live_through(seed, counts)

    assert counts.histories == NUM_SAMPLED


@pytest.mark.proof
def test_many_histories_read_every_row_once_and_in_order(capsys):
    """Ranks 1 to 17, workers 0 to 3, changing batches, stops anywhere: exactly once, and the chain of the unbroken run.

    Every pair of every document stands in each whole epoch once, whatever the packing.
    """
    counts = Counts()
    for seed in range(NUM_HISTORIES):
        live_through(seed, counts)

    with capsys.disabled():
        print(
            f"\n{counts.histories} histories, {counts.segments} segments, {counts.steps} steps, {counts.rows} rows "
            f"consumed, {counts.epochs} whole epochs, {counts.empty_slots} empty slots, "
            f"{counts.discarded} rows read ahead and thrown away"
            f"\nsegments by ranks: {dict(sorted(counts.ranks.items()))}"
            f"\nsegments by workers: {dict(sorted(counts.workers.items()))}"
        )
    assert set(counts.ranks) == set(range(1, MOST_RANKS + 1))
    assert set(counts.workers) == set(range(MOST_WORKERS + 1))
    assert counts.epochs > NUM_HISTORIES and counts.empty_slots > 0 and counts.discarded > 0


@pytest.mark.parametrize(
    ("rank", "world", "batch_rows", "start"), [(1, 1, 4, 0), (-1, 2, 4, 0), (0, 1, 0, 0), (0, 1, 1, -1)]
)
def test_slots_of_nobody_are_refused(rank, world, batch_rows, start):
    """A rank outside the world, an empty batch and a position before the first are mistakes."""
    with pytest.raises(ValueError, match="cannot share"):
        slots(start, batch_rows, rank=rank, world=world)


def test_shares_of_no_slots_are_no_rows():
    """More workers than slots: some read nothing, and the rank still gets all of its rows."""
    rows = opened(documents(random.Random(1)), seq_len=5, packing="concat", seed=2)
    mine = slots(3, 2, rank=0, world=1)
    shares = [read_slots(rows, share) for share in dealt(mine, 3)]

    assert [len(share.inputs) for share in shares] == [1, 1, 0]
    assert np.array_equal(collected(shares).inputs, rows.rows(3, 2).inputs)


def test_any_of_many_positions_is_reached_without_a_table():
    """A row of a later epoch of 1e9 rows is found by itself in a few kilobytes, and is what the order says there."""
    num_rows = 10**9
    at = 7 * num_rows + 123_456_789
    tracemalloc.start()
    try:
        found = rows_at(at, 1, num_rows=num_rows, seed=3)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert found == rows_at(at - 2, 5, num_rows=num_rows, seed=3)[2]
    assert peak_bytes < 100_000

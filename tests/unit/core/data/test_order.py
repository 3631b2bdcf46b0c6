"""The order of rows."""

from __future__ import annotations

import numpy as np
import pytest

from codex_core.data.order import permute, rows_at
from codex_core.seeds import seed_for

WORD = (1 << 64) - 1


def reference(place: int, *, num_rows: int, seed: int, epoch: int) -> int:
    """The permutation of one place, written with Python integers alone."""
    half = 1
    while 4**half < num_rows:
        half += 1
    mask = (1 << half) - 1
    row = place
    while True:
        left, right = row >> half, row & mask
        for number in range(12):
            mixed = (right + seed_for(seed, "order", epoch, number) + 0x9E3779B97F4A7C15) & WORD
            mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & WORD
            mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & WORD
            left, right = right, left ^ ((mixed ^ (mixed >> 31)) & mask)
        row = left << half | right
        if row < num_rows:
            return row


GOLDEN = {
    (5, 0, 0): [3, 1, 4, 0, 2],
    (10, 1, 0): [8, 1, 7, 6, 9, 0, 2, 3, 5, 4],
    (10, 1, 1): [6, 0, 1, 4, 7, 2, 3, 8, 9, 5],
    (1000, 7, 3): [34, 611, 616, 901, 537, 227, 224, 446, 851, 823],
    (2**33, 42, 0): [579265217, 6308607854, 2524346914, 169821762, 1672622359, 774626142],
}


@pytest.mark.parametrize(("case", "rows"), GOLDEN.items())
def test_order_is_what_it_always_was(case, rows):
    """The golden vectors are part of the format: a saved position means the same rows for ever."""
    num_rows, seed, epoch = case
    places = np.arange(len(rows), dtype=np.uint64)

    assert permute(places, num_rows=num_rows, seed=seed, epoch=epoch).tolist() == rows


@pytest.mark.parametrize("num_rows", [1, 2, 3, 4, 5, 16, 17, 63, 64, 65, 300, 2**33])
def test_order_follows_its_definition(num_rows):
    """The vectorised permutation equals the same network written with plain integers."""
    places = np.arange(min(num_rows, 40), dtype=np.uint64)
    expected = [reference(int(place), num_rows=num_rows, seed=9, epoch=2) for place in places]

    assert permute(places, num_rows=num_rows, seed=9, epoch=2).tolist() == expected


def test_order_differs_by_seed_and_by_epoch():
    """Another seed and another epoch are other orders."""
    orders = [
        tuple(rows_at(epoch * 50, 50, num_rows=50, seed=seed).tolist()) for seed in (1, 2) for epoch in (0, 1)
    ]

    assert len(set(orders)) == 4


def test_order_is_no_rotation():
    """Neighbours do not stay neighbours, as they would in an affine order."""
    rows = rows_at(0, 1000, num_rows=1000, seed=0)
    steps = np.diff(rows) % 1000

    assert np.bincount(steps).max() < 12  # 1 expected per distance; an affine order has 999 of one


def test_small_orders_are_all_reached():
    """Each of the 24 orders of four rows occurs about as often as any other."""
    counts: dict[tuple[int, ...], int] = {}
    for seed in range(2400):
        order = tuple(rows_at(0, 4, num_rows=4, seed=seed).tolist())
        counts[order] = counts.get(order, 0) + 1

    assert len(counts) == 24
    chi_square = sum((count - 100) ** 2 / 100 for count in counts.values())
    assert chi_square / 23 < 3  # 12 rounds: 0.8 to 2.4 over many seeds at n = 4


def test_no_rows_are_no_rows():
    """Asking for zero rows gives an empty array."""
    assert rows_at(7, 0, num_rows=5, seed=0).tolist() == []

"""Repeated keys, found bucket by bucket."""

from __future__ import annotations

import numpy as np
import pytest

from codex_core.data import repeats as module
from codex_core.data.repeats import repeats


@pytest.mark.parametrize("bucket", [4, 64, 10_000])
def test_repeats_are_those_of_a_dictionary(tmp_path, monkeypatch, bucket):
    """Any size of buckets finds the rows, and the first rows, that a dictionary of all keys finds."""
    monkeypatch.setattr(module, "BUCKET_ENTRIES", bucket)
    random = np.random.default_rng(7)
    blocks = []
    for number in range(5):
        rows = np.arange(number * 60, number * 60 + 60, dtype=np.uint64)
        keys = np.stack([random.integers(0, 9, 60) << 60, random.integers(0, 9, 60)], axis=1).astype(
            np.uint64
        )
        blocks.append((np.append(rows, rows[3]), np.append(keys, keys[5:6], axis=0)))
    first: dict[tuple[int, int], int] = {}
    expected = set()
    for rows, keys in blocks:
        for row, key in sorted(zip(rows.tolist(), map(tuple, keys.tolist()), strict=True)):
            if first.setdefault(key, row) != row:
                expected.add((row, first[key]))
    found = set()
    for rows, firsts in repeats(blocks, num_entries=305, scratch=tmp_path):
        found |= set(zip(rows.tolist(), firsts.tolist(), strict=True))

    assert found == expected
    assert list(tmp_path.iterdir()) == []


def test_no_rows_have_no_repeats(tmp_path):
    """Nothing in, nothing out."""
    assert list(repeats([], num_entries=0, scratch=tmp_path)) == []

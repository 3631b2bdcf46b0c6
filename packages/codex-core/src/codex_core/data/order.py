"""The order of rows: a pure function of (seed, epoch, position), without a table.

Decisions: a balanced Feistel network of 12 rounds on the smallest even number of bits that holds the rows; its
round function is the splitmix64 mixer on half plus round key; places beyond the last row are walked through the
network again until they fall inside. Integers only, so every platform agrees; the golden vectors in the tests are
part of the format. Global position p is place p % N of epoch p // N.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from codex_core.seeds import seed_for

#: The name of this algorithm in manifests; another permutation has another name.
ALGORITHM = "feistel12-splitmix64/1"

NUM_ROUNDS = 12


def permute(places: NDArray[np.uint64], *, num_rows: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The rows at `places` (each below `num_rows`) of an epoch: distinct places give distinct rows.

    >>> permute(np.arange(5, dtype=np.uint64), num_rows=5, seed=0, epoch=0).tolist()
    [3, 1, 4, 0, 2]
    """
    half_bits = max(1, (max(num_rows - 1, 1).bit_length() + 1) // 2)
    keys = [seed_for(seed, "order", epoch, number) for number in range(NUM_ROUNDS)]
    rows = _feistel(places.astype(np.uint64), half_bits, keys)
    while (outside := np.flatnonzero(rows >= num_rows)).size:
        rows[outside] = _feistel(rows[outside], half_bits, keys)
    return rows.astype(np.int64)


def rows_at(start: int, count: int, *, num_rows: int, seed: int) -> NDArray[np.int64]:
    """The rows at global positions [start, start + count), over as many epochs as they touch."""
    parts = []
    end = start + count
    while start < end:
        epoch, place = divmod(start, num_rows)
        stop = min(num_rows, place + end - start)
        places = np.arange(place, stop, dtype=np.uint64)
        parts.append(permute(places, num_rows=num_rows, seed=seed, epoch=epoch))
        start += stop - place
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)


def _feistel(values: NDArray[np.uint64], half_bits: int, keys: list[int]) -> NDArray[np.uint64]:
    bits, mask = np.uint64(half_bits), np.uint64((1 << half_bits) - 1)
    left, right = values >> bits, values & mask
    for key in keys:
        left, right = right, left ^ (_splitmix64(right + np.uint64(key)) & mask)
    return (left << bits) | right


def _splitmix64(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The mixer of splitmix64, modulo 2^64 (arrays wrap around silently)."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))

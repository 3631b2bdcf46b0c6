"""A digest of a table of counts that grows with it.

Decisions: a table is the sum of what was counted, and so is its digest: each event adds a number that only depends
on the event, modulo 2^64, in two independent lanes. The digest of a step costs as much as its events, not as the
table; a table that was loaded gives the same digest as the one that was counted, in whatever order.

Shapes: E events, N order.
"""

from __future__ import annotations

import attrs
import numpy as np
from numpy.typing import NDArray

from codex_core.ngram.counts import Counts

#: Where the two lanes start; any two different numbers do.
_LANES = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD1B54A32D192ED03))


@attrs.define
class CountsDigest:
    """The digest of all events so far, as two sums."""

    sums: NDArray[np.uint64]

    @classmethod
    def of(cls, counts: Counts) -> CountsDigest:
        """The digest of a table."""
        counts.settle()
        digest = cls(np.zeros(2, dtype=np.uint64))
        digest._add(counts.keys, counts.counts.astype(np.uint64))
        return digest

    def add(self, events: NDArray[np.int32]) -> None:
        """Take events (E x N) into account."""
        self._add(events, np.ones(len(events), dtype=np.uint64))

    def hex(self) -> str:
        """32 digits."""
        return "".join(f"{int(value):016x}" for value in self.sums)

    def _add(self, keys: NDArray[np.int32], weights: NDArray[np.uint64]) -> None:
        for lane, start in enumerate(_LANES):
            mixed = np.full(len(keys), start, dtype=np.uint64)
            for column in keys.T:
                mixed = _mixed(mixed + column.astype(np.uint64))
            self.sums[lane : lane + 1] += (mixed * weights).sum(dtype=np.uint64)


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The mixer of splitmix64, modulo 2^64 (arrays wrap around silently)."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))

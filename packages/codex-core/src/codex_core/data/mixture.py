"""The order of rows of several sources that are mixed by weights: a pure function of the position, as for one.

Decisions: position p is place p % W of the schedule (`planning.mixing`), W the sum of the weights; each source is
read in a permutation of its own per epoch of its own, so its k-th row overall depends on its seed and k alone, and
the weights of others change when a row comes, never which. The cursor stays one integer.

Shapes: N positions, M sources.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from codex_core.data.order import rows_at
from codex_core.planning.mixing import epoch_rows, schedule
from codex_core.seeds import seed_for


class Mixture:
    """Sources with `rows[i]` rows each, planned one after another, read `weights[i]` rows in turn."""

    def __init__(self, *, weights: Sequence[int], rows: Sequence[int]) -> None:
        self.weights, self.rows = tuple(weights), tuple(rows)
        self.num_rows = epoch_rows(weights, rows)
        self._schedule = np.array(schedule(weights), dtype=np.int64)
        self._before = np.array(
            [
                np.count_nonzero(self._schedule[:place] == source)
                for place, source in enumerate(self._schedule)
            ]
        )
        self._first_row = np.cumsum([0, *rows])[:-1]

    def rows_at(self, start: int, count: int, *, seed: int) -> NDArray[np.int64]:
        """The rows at global positions [start, start + count)."""
        positions = np.arange(start, start + count, dtype=np.int64)
        run, place = np.divmod(positions, len(self._schedule))
        source = self._schedule[place]
        found = np.empty(count, dtype=np.int64)
        for number, weight in enumerate(self.weights):
            mine = source == number
            # Positions are consecutive, so the numbers of a source's rows among them are, too.
            draws = run[mine] * weight + self._before[place[mine]]
            if len(draws):
                rows = rows_at(
                    int(draws[0]),
                    len(draws),
                    num_rows=self.rows[number],
                    seed=seed_for(seed, "source", number),
                )
                found[mine] = self._first_row[number] + rows
        return found

"""How often rows of each source are read when sources are mixed by weights: the arithmetic, without any data.

Decisions: weights are whole numbers; in every run of W = their sum rows, source i stands `weights[i]` times and is
nowhere a whole row ahead of its share or behind it: each place goes to the source, of those behind their share, whose
next row is due first (of equals, the one that lags most, then the first);
an epoch of a mixture is the shortest whole number of such runs in which every source was read whole at least once.
"""

from __future__ import annotations

from collections.abc import Sequence


def schedule(weights: Sequence[int]) -> list[int]:
    """The source of each of the W places of a run.

    >>> schedule([3, 1])
    [0, 0, 1, 0]
    """
    total, taken = sum(weights), [0] * len(weights)
    places = []
    for place in range(1, total + 1):
        # All in whole numbers: what a source lags behind at a place, times total, and when its next row is due.
        lags = [weight * place - count * total for weight, count in zip(weights, taken, strict=True)]
        waiting = [source for source, lag in enumerate(lags) if lag > 0]
        due = {source: -(-(taken[source] + 1) * total // weights[source]) for source in waiting}
        chosen = min(waiting, key=lambda source: (due[source], -lags[source]))
        taken[chosen] += 1
        places.append(chosen)
    return places


def epoch_rows(weights: Sequence[int], rows: Sequence[int]) -> int:
    """Rows of one epoch of sources with so many rows each.

    >>> epoch_rows([3, 1], [6, 4])
    16
    """
    return sum(weights) * max(-(-num // weight) for num, weight in zip(rows, weights, strict=True))

"""Which checkpoints may go. Pure: it decides, and `checkpoints` removes."""

from __future__ import annotations

from collections.abc import Collection, Iterable


def to_prune(steps: Iterable[int], *, keep_last: int, pinned: Collection[int] = ()) -> list[int]:
    """The steps beyond the newest `keep_last`, oldest first; 0 keeps all, pinned steps always stay.

    >>> to_prune([10, 9, 30, 20], keep_last=2)
    [9, 10]
    """
    if keep_last <= 0:
        return []
    ordered = sorted(set(steps))
    return [step for step in ordered[:-keep_last] if step not in pinned]

"""Which split a document belongs to: a pure function of its group or text, or on request of where it stands.

Decisions: the key is the group where there is one, else the text; sha256 of seed and key picks a place in
[0, 2^64), ratios cut that range. So splits are disjoint and complete, a document keeps its split when others are
added, and ratios hold for many groups, not for few. A text seen before goes where it went before, also under
another group: no text is in two splits. By index the key is file and row: groups do not count, a repeated text may
come into several splits, and how many do is counted.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Sequence
from fractions import Fraction

import attrs

from codex_core.errors import UsageError

SPLITS = ("train", "validation", "test")

_RANGE = 1 << 64


@attrs.frozen
class Splitter:
    """Cuts of [0, 2^64) by exact ratios, the seed of the hash, and whether the place of a row is hashed instead."""

    ratios: tuple[str, ...]
    seed: int
    bounds: tuple[int, ...]
    by_index: bool = False

    def split_of(self, text: str, *, group: str | None, source: tuple[str, int] = ("", 0)) -> str:
        """The split of a document; `source` is its file and row.

        >>> splitter((0.9, 0.05, 0.05), seed=0).split_of("any text", group="json")
        'train'
        """
        if self.by_index:
            kind, key = "row", f"{source[0]}\x1f{source[1]}"
        else:
            kind, key = ("text", text) if group is None else ("group", group)
        digest = hashlib.sha256(f"{self.seed}\x1f{kind}\x1f{key}".encode()).digest()
        return SPLITS[bisect_right(self.bounds, int.from_bytes(digest[:8], "big"))]

    def identity(self) -> dict[str, object]:
        """What the assignment depends on, without floats."""
        return {
            "rule": "sha256-of-file-and-row/1" if self.by_index else "sha256-of-group-or-text/1",
            "ratios": dict(zip(SPLITS, self.ratios, strict=True)),
            "seed": self.seed,
        }


def splitter(ratios: Sequence[float], *, seed: int, by: str = "content") -> Splitter:
    """Check the ratios of train, validation and test, and make a splitter by `content` or by `index` of them.

    Raises `UsageError` unless there are three, none negative, training above zero, and their sum is one.
    """
    shown = tuple(repr(float(ratio)) for ratio in ratios)
    exact = [Fraction(ratio) for ratio in shown if ratio not in ("nan", "inf", "-inf")]
    if (
        len(exact) != len(SPLITS)
        or min(exact) < 0
        or exact[0] == 0
        or abs(sum(exact, start=Fraction(-1))) > Fraction(1, 10**9)
    ):
        raise UsageError(
            code="DAT-008",
            what=f"expected three split ratios that add up to 1, found {', '.join(shown)}",
            where="data.split",
            why="they are the shares of train, validation and test; the first must be above zero",
            fix="data.split=[0.9,0.05,0.05]",
        )
    # The end of the range belongs to the last split that has a share, whatever the sum rounds to.
    ends = [int(sum(exact[: i + 1]) * _RANGE) for i in range(len(exact))]
    last = max(i for i, ratio in enumerate(exact) if ratio > 0)
    bounds = tuple(_RANGE if i >= last else ends[i] for i in range(len(SPLITS) - 1))
    return Splitter(shown, seed, bounds, by_index=by == "index")

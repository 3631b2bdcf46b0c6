"""Which rows of all lots are kept, and in which split: what no lot can know alone.

Decisions: of rows with equal turns, before or after the policy's redactions, the first in reading order stays
(`dedup: exact`), or all stay in the split of the first (`dedup: none`), unless rows are split by index: then those
whose turns come into several splits are counted. So the result does not depend on how rows
were cut into lots, nor on who read them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import attrs
import numpy as np
from numpy.typing import NDArray

from codex_core.data.intake import Account, TextsPlan
from codex_core.data.repeats import repeats
from codex_core.data.splits import SPLITS
from codex_core.data.text_parts import OUTCOMES, TextPart
from codex_core.files import Files

#: The fate of a row that repeats an earlier one; the others are numbers of `OUTCOMES`.
DUPLICATE = len(OUTCOMES)


@attrs.frozen
class Run:
    """Consecutive documents of one split of a part: `first` to `last` (exclusive)."""

    split: str
    first: int
    last: int


@attrs.frozen(kw_only=True, eq=False)
class Selection:
    """The fate of every row that has a key, part by part; `leaks` are texts that stand in several splits."""

    parts: tuple[TextPart, ...]
    fates: tuple[NDArray[np.uint8], ...]
    leaks: int = 0

    def runs(self, part: int, split: str) -> list[Run]:
        """The documents of a part that are kept in `split`, in reading order."""
        outcomes, fates = self.parts[part].outcomes, self.fates[part]
        kept = np.flatnonzero(fates == SPLITS.index(split))
        stored_in, place = outcomes[kept], _places(outcomes)[kept]
        breaks = np.flatnonzero((np.diff(stored_in) != 0) | (np.diff(place) != 1)) + 1
        borders = [0, *breaks.tolist(), len(kept)]
        return [
            Run(SPLITS[int(stored_in[a])], int(place[a]), int(place[b - 1]) + 1)
            for a, b in pairwise(borders)
            if b > a
        ]

    def account(self) -> Account:
        """The account of all rows."""
        account = Account()
        for part, fates in zip(self.parts, self.fates, strict=True):
            manifest = part.manifest
            account.read += manifest["read"]
            account.skipped.update(manifest["skipped"])
            account.dropped.update(manifest["dropped"])
            counts = np.bincount(fates, minlength=DUPLICATE + 1).tolist()
            account.kept.update(dict(zip(SPLITS, counts, strict=False)))
            account.dropped.update(dict(zip(OUTCOMES[len(SPLITS) :], counts[len(SPLITS) :], strict=False)))
            account.dropped["duplicate"] += counts[DUPLICATE]
            redacted, _ = part.redacted()
            account.redacted += int((fates[redacted] != DUPLICATE).sum())
            for row, rule, count in part.matches().tolist():
                if fates[row] != DUPLICATE:
                    account.rules[manifest["rules"][rule]] += count
        return account


def select(parts: Sequence[TextPart], plan: TextsPlan, *, scratch: Path, files: Files) -> Selection:
    """Decide the fate of all rows; `scratch` is an existing folder for temporary files."""
    is_exact = plan.dedup == "exact"
    before = np.cumsum([0, *map(len, parts)])
    fates = np.concatenate([np.empty(0, dtype=np.uint8), *(part.outcomes for part in parts)])
    entries = _entries(parts, before.tolist(), only_kept=not is_exact)
    num_entries = int(before[-1]) + (sum(len(part.redacted()[0]) for part in parts) if is_exact else 0)
    leaks = 0
    for rows, firsts in repeats(entries, num_entries=num_entries, scratch=scratch, files=files):
        if is_exact or not plan.splitter.by_index:
            fates[rows] = DUPLICATE if is_exact else fates[firsts]
        else:
            leaks += len(np.unique(firsts[fates[rows] != fates[firsts]]))
    by_part = tuple(np.split(fates, before[1:-1])) if len(parts) else ()
    return Selection(parts=tuple(parts), fates=by_part, leaks=leaks)


def _entries(
    parts: Sequence[TextPart], before: Sequence[int], *, only_kept: bool
) -> Iterator[tuple[NDArray[np.uint64], NDArray[np.uint64]]]:
    """Rows and keys, part by part: of all forms of all rows, or of the kept form of kept rows."""
    for part, base in zip(parts, before, strict=False):
        keys = np.array(part.keys())
        rows = np.arange(len(part), dtype=np.uint64)
        redacted, redacted_keys = part.redacted()
        if only_kept:
            keys[redacted] = redacted_keys
            rows = rows[part.outcomes < len(SPLITS)]
            keys = keys[rows]
        else:
            rows, keys = np.concatenate((rows, redacted)), np.concatenate((keys, redacted_keys))
        yield rows + np.uint64(base), keys


def _places(outcomes: NDArray[np.uint8]) -> NDArray[np.int64]:
    """For each row its number among the rows with the same outcome."""
    places = np.empty(len(outcomes), dtype=np.int64)
    for outcome in range(len(SPLITS)):
        here = outcomes == outcome
        places[here] = np.arange(int(here.sum()))
    return places

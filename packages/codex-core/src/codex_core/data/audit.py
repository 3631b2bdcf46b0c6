"""What would be trained on, counted at the borders of documents and shown for the first ones.

Decisions: counts are taken from ids and masks as they are stored, so whatever rendered them is audited; a document
without BOS or with two is refused, because the model would begin every text in a place that it never sees when it
is used; what may be meant (no EOS, two of them, an EOS that is not learned after text that is) is reported.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from codex_core.contracts import Tokenizer
from codex_core.errors import InputError

PREVIEWED = 3

_PREVIEW_IDS = 400


@attrs.define
class Audit:
    """Counts over rendered documents, and the supervised ids of the first few."""

    bos: int
    eos: int
    counts: Counter[str] = attrs.field(factory=Counter)
    previews: list[tuple[str, list[list[int]]]] = attrs.field(factory=list)

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> Audit:
        """An empty audit of what this tokenizer renders."""
        return cls(tokenizer.special_ids["bos"], tokenizer.special_ids["eos"])

    def add(self, document_id: str, ids: Sequence[int], loss_mask: Sequence[bool]) -> None:
        """Take one rendered document into account."""
        flat = np.asarray(ids, dtype=np.int64)
        offsets = np.array([0, len(flat)])
        self.add_block(lambda _: document_id, flat, np.asarray(loss_mask, dtype=np.bool_), offsets)

    def add_block(
        self,
        document_ids: Sequence[str] | Callable[[int], str],
        ids: NDArray[Any],
        loss_mask: NDArray[Any],
        offsets: NDArray[Any],
    ) -> None:
        """Take documents back to back into account: document i is `ids[offsets[i]:offsets[i + 1]]`.

        `document_ids` are asked only for the documents that are previewed.
        """
        learned = np.asarray(loss_mask, dtype=np.bool_)
        starts, ends = np.asarray(offsets[:-1], dtype=np.int64), np.asarray(offsets[1:], dtype=np.int64)
        self.counts.update(documents=len(starts), tokens=len(ids), supervised=int(learned.sum()))
        for number in range(min(len(starts), PREVIEWED - len(self.previews))):
            name = document_ids(number) if callable(document_ids) else document_ids[number]
            piece = slice(int(starts[number]), int(ends[number]))
            self.previews.append((name, _runs(ids[piece], learned[piece])))
        full = ends > starts
        self.counts.update(missing_bos=int((~full).sum()), missing_eos=int((~full).sum()))
        self._count_ends(ids, learned, starts[full], ends[full])

    def _count_ends(
        self,
        ids: NDArray[Any],
        learned: NDArray[np.bool_],
        starts: NDArray[np.int64],
        ends: NDArray[np.int64],
    ) -> None:
        """Count BOS and EOS of documents that have ids. Where both are one id, `[bos, eos]` is no double."""
        begins, closes = ids[starts] == self.bos, ids[ends - 1] == self.eos
        several = ends - starts > (2 if self.bos == self.eos else 1)
        second, last_but_one = ids[np.minimum(starts + 1, ends - 1)], ids[np.maximum(ends - 2, starts)]
        forgotten = closes & ~learned[ends - 1] & learned[np.maximum(ends - 2, starts)]
        self.counts.update(
            missing_bos=int((~begins).sum()),
            doubled_bos=int((begins & several & (second == self.bos)).sum()),
            missing_eos=int((~closes).sum()),
            doubled_eos=int((closes & several & (last_but_one == self.eos)).sum()),
            unsupervised_eos=int(forgotten.sum()),
        )

    def merge(self, other: Audit) -> None:
        """Add what was audited after this."""
        self.counts.update(other.counts)
        self.previews += other.previews[: PREVIEWED - len(self.previews)]

    def refuse(self) -> None:
        """Raise `InputError` when a document has no BOS, or two."""
        for name, found in (("missing_bos", "without BOS"), ("doubled_bos", "with two BOS")):
            if number := self.counts[name]:
                raise InputError(
                    code="DAT-014",
                    what=f"the tokenizer rendered {number} of {self.counts['documents']} documents {found}",
                    why="a model that is used begins each text with exactly one",
                    fix="repair the tokenizer's rendering or its template: `codex data preview` shows it",
                )

    def report(self, *, decode: Callable[[Sequence[int]], str]) -> dict[str, Any]:
        """The counts and the decoded preview; the share is text, so that no float stands in stored reports."""
        names = (
            "documents",
            "tokens",
            "supervised",
            "missing_bos",
            "doubled_bos",
            "missing_eos",
            "doubled_eos",
        )
        counts = {name: self.counts[name] for name in (*names, "unsupervised_eos")}
        return {
            **counts,
            "supervised_share": f"{counts['supervised'] / max(1, counts['tokens']):.4f}",
            "preview": [
                {"id": name, "supervised": [decode(run) for run in runs]} for name, runs in self.previews
            ],
        }


def _runs(ids: NDArray[Any], learned: NDArray[np.bool_]) -> list[list[int]]:
    """The stretches of supervised ids, at most so many ids in all.

    >>> _runs(np.array([9, 1, 2, 3, 4]), np.array([False, True, True, False, True]))
    [[1, 2], [4]]
    """
    chosen = np.flatnonzero(learned)[:_PREVIEW_IDS]
    stretches = np.split(chosen, np.flatnonzero(np.diff(chosen) > 1) + 1) if len(chosen) else []
    return [[int(id) for id in ids[stretch]] for stretch in stretches]

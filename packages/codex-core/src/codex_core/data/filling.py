"""How full the rows of a split are, and how many documents a packing has cut: counted block by block.

Decision: a share is text with four digits, because manifests hold no floats.
"""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np

from codex_core.data.gathering import RowPlan


@attrs.define(kw_only=True)
class Filling:
    """Counts over the planned rows of a split; documents come in blocks in which none is before an earlier block's."""

    seq_len: int
    rows: int = 0
    pieces: int = 0
    pairs: int = 0
    cut_documents: int = 0
    _last_cut: int = -1

    def add(self, block: RowPlan) -> None:
        """Count a block of whole rows."""
        self.rows += block.num_rows
        self.pieces += len(block.document)
        self.pairs += int(np.asarray(block.length, dtype=np.int64).sum())
        cut = np.unique(np.asarray(block.document)[np.asarray(block.start) > 0])
        cut = cut[cut > self._last_cut]
        self.cut_documents += len(cut)
        if len(cut):
            self._last_cut = int(cut[-1])

    def report(self) -> dict[str, Any]:
        """Pieces, pairs, padding and the share of places that are filled; documents that lie in several pieces."""
        places = self.rows * self.seq_len
        return {
            "pieces": self.pieces,
            "pairs": self.pairs,
            "padding": places - self.pairs,
            "filled": f"{self.pairs / max(1, places):.4f}",
            "cut_documents": self.cut_documents,
        }

"""Small documents of ids with structure, and n-gram tables counted over them."""

from __future__ import annotations

from collections.abc import Sequence

from codex_core.ngram.counts import Counts, cut_events
from codex_core.testing.shell import SmallRows
from codex_core.testing.shell import small_documents as documents

__all__ = ["ORDER", "VOCAB", "counted", "documents"]

VOCAB = 12
ORDER = 4


def counted(pieces: Sequence[Sequence[int]], *, order: int = ORDER, vocab_size: int = VOCAB) -> Counts:
    """The settled table of documents, each of which is one piece."""
    data = SmallRows(documents=pieces, seq_len=max(map(len, pieces)))
    table = Counts.empty(order=order, vocab_size=vocab_size)
    table.add(cut_events(data.rows(0, data.num_rows), order=order, vocab_size=vocab_size))
    table.settle()
    return table

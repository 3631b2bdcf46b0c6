"""Small documents of ids with structure, and n-gram tables counted over them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from codex_core.ngram.counts import Counts, cut_events
from codex_core.testing.shell import SmallRows

VOCAB = 12
ORDER = 4


def documents(count: int, *, seed: int, length: int = 30, vocab_size: int = VOCAB) -> list[list[int]]:
    """Documents that begin with 0 and in which small ids are common."""
    rng = np.random.default_rng(seed)
    return [[0, *np.minimum(rng.geometric(0.3, size=length), vocab_size - 1).tolist()] for _ in range(count)]


def counted(pieces: Sequence[Sequence[int]], *, order: int = ORDER, vocab_size: int = VOCAB) -> Counts:
    """The settled table of documents, each of which is one piece."""
    data = SmallRows(documents=pieces, seq_len=max(map(len, pieces)))
    table = Counts.empty(order=order, vocab_size=vocab_size)
    table.add(cut_events(data.rows(0, data.num_rows), order=order, vocab_size=vocab_size))
    table.settle()
    return table

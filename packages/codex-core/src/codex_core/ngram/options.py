"""Options of the n-gram model and of its trainer."""

from __future__ import annotations

import attrs

from codex_core.duration import Duration
from codex_core.options import option


@attrs.frozen(kw_only=True)
class NgramOptions:
    """Options of the model `ngram`."""

    order: int = option(
        5, doc="longest n-gram: one predicted token and order - 1 before it", minimum=1, maximum=16
    )


@attrs.frozen(kw_only=True)
class NgramTrainerOptions:
    """Options of the trainer `ngram`.

    One epoch is what the method is made for: counting the same text again makes every n-gram look frequent.
    """

    duration: Duration = option(Duration(1, "epochs"), doc="how long to count", resumable=True)
    batch_rows: int = option(16, doc="packed rows counted per step", unit="rows", minimum=1)

"""How much memory counting will take."""

from __future__ import annotations

from codex_core.lock import Lock
from codex_core.ngram.options import NgramOptions
from codex_core.records import Memory

# Per n-gram while counting: an id is held as int32 in the table and while merging, a count and a sort key take
# eight bytes each and are copied once.
_ID_BYTES = 2 * 4
_COUNT_BYTES = 2 * (8 + 8)
# Per n-gram and context length once probabilities are derived: context, n-gram, share, backoff, number, twice.
_LEVEL_BYTES = 2 * 5 * 8


def estimate(options: NgramOptions, lock: Lock) -> Memory:
    """An upper bound: every token of an epoch as an n-gram of its own, with the derived probabilities beside."""
    distinct = min(lock.tokens, int(lock.tokens / lock.epochs)) if lock.epochs else lock.tokens
    return Memory(
        parameters=distinct * (options.order * _ID_BYTES + _COUNT_BYTES),
        staging=distinct * options.order * _LEVEL_BYTES,
    )

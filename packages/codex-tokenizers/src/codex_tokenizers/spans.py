"""Which code points of a text each token covers, worked out from the bytes that tokens stand for.

Decision: a token that holds a part of a character has the span of the whole character, so that every tokenizer
which gives back its text answers alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise

Span = tuple[int, int]


def spans_of(text: str, num_bytes: Iterable[int]) -> list[Span]:
    """Half-open code points of tokens that follow each other without a gap, from their lengths in bytes.

    >>> spans_of("né!", [1, 1, 1, 1])
    [(0, 1), (1, 2), (1, 2), (2, 3)]
    """
    borders = accumulate(num_bytes, initial=0)
    if text.isascii():
        return list(pairwise(borders))
    owners = _owners(text)
    return [(owners[start], owners[end - 1] + 1) for start, end in pairwise(borders)]


def _owners(text: str) -> Sequence[int]:
    """The code point that each byte of a text belongs to."""
    return [place for place, character in enumerate(text) for _ in character.encode()]

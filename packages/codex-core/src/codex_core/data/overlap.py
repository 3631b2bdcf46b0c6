"""Which texts of one data set stand in another one: whole, or as runs of thirteen words.

Decisions: texts are compared as their words, in lower case and composed form (NFC), so that punctuation, line ends
and case hide nothing; a text is its turns joined. Words and texts are compared by 64-bit hashes. When the first set
has more than `most_hashes` of them, both sets are read several times, each time for one share of all hashes, so
memory does not grow with their texts. Examples name source lines, never text.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

WORDS_PER_GRAM = 13

#: 8 bytes of hash and 4 of document number each: 96 MB, and as much again while they are sorted.
MOST_HASHES = 8_000_000

Texts = Callable[[], Iterable[tuple[str, str]]]
"""Opens a data set: (place, text) of every document, as often as it is called."""

Hashes = NDArray[np.uint64]

_WORD = re.compile(r"\w+")
_FACTOR = 0x9E3779B97F4A7C15


@attrs.define
class Shared:
    """How much of the second set stands in the first: documents, grams, and examples as pairs of places."""

    documents: int = 0
    grams: int = 0
    examples: list[tuple[str, str]] = attrs.field(factory=list)


@attrs.frozen(kw_only=True)
class Overlap:
    """The documents of both sets, and what the second shares with the first."""

    documents: tuple[int, int]
    grams: int
    exact: Shared
    ngram: Shared

    @property
    def found(self) -> bool:
        """Whether anything is shared."""
        return self.exact.documents > 0 or self.ngram.documents > 0

    def as_dict(self) -> dict[str, Any]:
        """The findings as plain values."""
        return {
            "documents": list(self.documents),
            "exact": {"documents": self.exact.documents, "examples": [list(x) for x in self.exact.examples]},
            "ngram": {
                "n": WORDS_PER_GRAM,
                "documents": self.ngram.documents,
                "grams": self.grams,
                "shared_grams": self.ngram.grams,
                "examples": [list(x) for x in self.ngram.examples],
            },
        }


def overlap(
    first: Texts, second: Texts, *, num_examples: int = 10, most_hashes: int = MOST_HASHES
) -> Overlap:
    """What `second` shares with `first`: counts of its documents and grams, and the first examples."""
    hashed = _Hasher()
    exact, ngram = _Side(num_examples), _Side(num_examples)
    num_first, num_hashes, held = _first_look(first, hashed, most_hashes)
    num_shares = max(1, -(-num_hashes // most_hashes))
    num_second = num_grams = 0
    for share in range(num_shares):
        keep = _Share(share, num_shares)
        if num_shares > 1:
            held = _Held.of([tuple(map(keep, hashed(text))) for _, text in first()])
        num_second = num_grams = 0
        for number, (place, text) in enumerate(second()):
            whole, grams = hashed(text)
            exact.compare(number, place, held.exact, keep(whole))
            ngram.compare(number, place, held.grams, keep(grams))
            num_second += 1
            num_grams += len(grams)
    places = _places(first, exact.asked | ngram.asked)
    return Overlap(
        documents=(num_first, num_second),
        grams=num_grams,
        exact=exact.shared(places),
        ngram=ngram.shared(places),
    )


def words_of(text: str) -> list[str]:
    """The words of a text in the form in which they are compared.

    >>> words_of("Don't  PANIC.")
    ['don', 't', 'panic']
    """
    return _WORD.findall(unicodedata.normalize("NFC", text).lower())


class _Hasher:
    """Texts to the hash of the whole and of every thirteen words in a row; words are hashed once."""

    _MOST_WORDS = 1 << 20

    def __init__(self) -> None:
        self._words: dict[str, int] = {}

    def __call__(self, text: str) -> tuple[Hashes, Hashes]:
        words = words_of(text)
        if not words:
            return np.empty(0, np.uint64), np.empty(0, np.uint64)
        whole = np.array([_hash(" ".join(words))], np.uint64)
        if len(words) < WORDS_PER_GRAM:
            return whole, np.empty(0, np.uint64)
        if len(self._words) > self._MOST_WORDS:
            self._words.clear()
        held = self._words
        hashes = np.array(
            [held[word] if word in held else held.setdefault(word, _hash(word)) for word in words], np.uint64
        )
        return whole, np.unique(_rolled(hashes))


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def _rolled(words: Hashes) -> Hashes:
    """One hash for every thirteen word hashes in a row; arithmetic is modulo 2^64, order counts."""
    width = len(words) - WORDS_PER_GRAM + 1
    rolled = np.zeros(width, np.uint64)
    for k in range(WORDS_PER_GRAM):
        rolled = rolled * np.uint64(_FACTOR) + (
            words[k : k + width] ^ (words[k : k + width] >> np.uint64(29))
        )
    return rolled


@attrs.frozen
class _Sorted:
    """Distinct hashes in order, and the document in which each stands first."""

    hashes: Hashes
    documents: NDArray[np.uint32]

    @classmethod
    def of(cls, pieces: list[Hashes]) -> _Sorted:
        documents = np.repeat(np.arange(len(pieces), dtype=np.uint32), [len(piece) for piece in pieces])
        hashes, first = np.unique(np.concatenate([np.empty(0, np.uint64), *pieces]), return_index=True)
        return cls(hashes, documents[first])

    def find(self, asked: Hashes) -> tuple[int, int | None]:
        """How many of the hashes are here, and a document that has one."""
        if not len(self.hashes) or not len(asked):
            return 0, None
        places = np.minimum(np.searchsorted(self.hashes, asked), len(self.hashes) - 1)
        there = self.hashes[places] == asked
        number = int(there.sum())
        return number, int(self.documents[places[there][0]]) if number else None


@attrs.frozen
class _Share:
    """Takes the hashes of one share of all, by their remainder."""

    number: int
    of: int

    def __call__(self, hashes: Hashes) -> Hashes:
        return hashes if self.of == 1 else hashes[hashes % np.uint64(self.of) == self.number]


@attrs.frozen
class _Held:
    """One share of the hashes of the first set: of whole texts and of grams."""

    exact: _Sorted
    grams: _Sorted

    @classmethod
    def of(cls, found: Sequence[tuple[Hashes, ...]]) -> _Held:
        return cls(_Sorted.of([whole for whole, _ in found]), _Sorted.of([grams for _, grams in found]))


def _first_look(texts: Texts, hashed: _Hasher, most: int) -> tuple[int, int, _Held]:
    """Documents and hashes of a set, and what is held of it when it has no more than `most` hashes."""
    documents = hashes = 0
    found: list[tuple[Hashes, ...]] = []
    for _, text in texts():
        pair = hashed(text)
        documents += 1
        hashes += sum(map(len, pair))
        if hashes <= most:
            found.append(pair)
        else:
            found.clear()
    return documents, hashes, _Held.of(found)


def _places(texts: Texts, numbers: set[int]) -> dict[int, str]:
    """The places of a few documents, by their numbers; reads no further than the last of them."""
    found: dict[int, str] = {}
    for number, (place, _) in enumerate(texts()):
        if len(found) == len(numbers):
            break
        if number in numbers:
            found[number] = place
    return found


class _Side:
    """What is shared so far; a document of the second set counts once, in whichever share it is met."""

    def __init__(self, num_examples: int) -> None:
        self._grams = 0
        self._num_examples = num_examples
        self._documents = bytearray()
        self._examples: list[tuple[int, int, str]] = []

    @property
    def asked(self) -> set[int]:
        """The documents of the first set that stand in examples."""
        return {document for _, document, _ in self._examples}

    def compare(self, number: int, place: str, held: _Sorted, asked: Hashes) -> None:
        """Look up the hashes of document `number` of the second set."""
        if number == len(self._documents):
            self._documents.append(0)
        shared, document = held.find(asked)
        self._grams += shared
        if document is not None and not self._documents[number]:
            self._documents[number] = 1
            self._examples = sorted([*self._examples, (number, document, place)])[: self._num_examples]

    def shared(self, places: dict[int, str]) -> Shared:
        """The counts, and the examples by places."""
        examples = [(places[document], place) for _, document, place in self._examples]
        return Shared(documents=sum(self._documents), grams=self._grams, examples=examples)

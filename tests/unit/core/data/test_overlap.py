"""Overlap of two data sets."""

from __future__ import annotations

import random

import pytest

from codex_core.data.overlap import WORDS_PER_GRAM, overlap, words_of

WORDS = [f"word{i}" for i in range(400)]


def texts_of(seed, count):
    """Texts of 5 to 40 words, drawn from few words but in random order."""
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=rng.randint(5, 40))) for _ in range(count)]


def opened(texts):
    return lambda: ((f"rows:{i}", text) for i, text in enumerate(texts, 1))


def slowly(first, second):
    """Documents and grams that are shared, by comparing words themselves."""

    def grams(text):
        words = words_of(text)
        return {tuple(words[i : i + WORDS_PER_GRAM]) for i in range(len(words) - WORDS_PER_GRAM + 1)}

    known = set().union(*map(grams, first)) if first else set()
    whole = {tuple(words_of(text)) for text in first}
    shared = [len(grams(text) & known) for text in second]
    return (
        sum(tuple(words_of(text)) in whole for text in second),
        sum(number > 0 for number in shared),
        sum(shared),
    )


@pytest.mark.parametrize("most_hashes", [10**6, 500, 60])
def test_counts_are_those_of_a_slow_comparison(most_hashes):
    """Whole texts, documents and runs of words, however few hashes may be held at a time."""
    first, second = texts_of(1, 60), texts_of(2, 40)
    second[3] = first[5].upper()
    number = next(i for i, text in enumerate(first[10:], 10) if len(text.split()) >= WORDS_PER_GRAM)
    second[7] = f"before {first[number]} after"
    second[11] = " ".join(first[20].split()[:12])
    found = overlap(opened(first), opened(second), most_hashes=most_hashes)

    assert (found.exact.documents, found.ngram.documents, found.ngram.grams) == slowly(first, second)
    assert found.documents == (60, 40)
    assert found.exact.examples == [("rows:6", "rows:4")]
    assert (f"rows:{number + 1}", "rows:8") in found.ngram.examples
    assert found.found


def test_case_punctuation_and_composition_hide_nothing():
    """Texts are compared as their words in lower case and composed form."""
    found = overlap(
        opened(["Caf\u00e9, s'il vous pla\u00eet!\n"]), opened(["cafe\u0301 S IL -- vous PLAI\u0302T"])
    )

    assert (found.exact.documents, found.ngram.documents) == (1, 0)


def test_thirteen_words_are_the_least():
    """Twelve words in a row are no overlap, thirteen are, and their order counts."""
    words = WORDS[:13]
    longer = " ".join([*words, "and", "more"])

    assert not overlap(opened([" ".join(words[:12])]), opened([longer])).found
    assert overlap(opened([" ".join(words)]), opened([longer])).ngram.grams == 1
    assert not overlap(opened([" ".join(reversed(words))]), opened([longer])).found


def test_texts_without_words_share_nothing():
    """Signs alone are no text that could leak."""
    assert not overlap(opened(["--- !"]), opened(["--- !"])).found


@pytest.mark.parametrize(("first", "second"), [([], ["a b"]), (["a b"], []), ([], [])])
def test_an_empty_set_overlaps_with_nothing(first, second):
    """Nothing is shared, and both counts are right."""
    found = overlap(opened(first), opened(second))

    assert (found.found, found.documents) == (False, (len(first), len(second)))


def test_examples_are_bounded_and_in_order():
    """The first documents of the second set that stand in the first."""
    texts = texts_of(3, 30)
    found = overlap(opened(texts), opened(texts), num_examples=4, most_hashes=50)

    assert found.exact.documents == 30
    assert found.exact.examples == [(f"rows:{i}", f"rows:{i}") for i in range(1, 5)]

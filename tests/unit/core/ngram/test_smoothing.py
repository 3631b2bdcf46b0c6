"""Kneser-Ney probabilities against their definition, written down a second time and slowly."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from codex_core.ngram import smoothing
from codex_core.ngram.counts import Counts
from codex_core.ngram.smoothing import FALLBACK_DISCOUNTS, discounts_of
from tests.support.ngrams import ORDER, VOCAB, counted, documents


class SlowKneserNey:
    """The definition in dictionaries: n-grams are tuples in reading order."""

    def __init__(self, pieces, *, order, vocab_size):
        self.order, self.vocab_size = order, vocab_size
        grams = Counter()
        starts = Counter()
        for piece in pieces:
            for end in range(1, len(piece)):
                gram = tuple(piece[max(0, end - order + 1) : end + 1])
                (grams if len(gram) == order else starts)[gram] += 1
        self.adjusted = {order: grams}
        for length in range(order - 1, 0, -1):
            shorter = Counter(gram[1:] for gram in self.adjusted[length + 1])
            shorter.update({gram: count for gram, count in starts.items() if len(gram) == length})
            self.adjusted[length] = shorter
        self.discounts = {
            length: discounts_of(np.array([*counts.values()])) if counts else FALLBACK_DISCOUNTS
            for length, counts in self.adjusted.items()
        }

    def probability(self, context, word):
        context = tuple(context[max(0, len(context) - self.order + 1) :])
        value = 1 / self.vocab_size
        for length in range(1, len(context) + 2):
            history = context[len(context) - length + 1 :]
            seen = {gram[-1]: n for gram, n in self.adjusted[length].items() if gram[:-1] == history}
            if not seen:
                break
            total = sum(seen.values())
            taken = {token: self.discounts[length][min(n, 3) - 1] for token, n in seen.items()}
            share = (seen[word] - taken[word]) / total if word in seen else 0.0
            value = share + sum(taken.values()) / total * value
        return value


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_probabilities_equal_the_definition(order):
    """Each probability equals the formula, worked out with dictionaries, for seen and unseen contexts."""
    pieces = documents(20, seed=1)
    slow = SlowKneserNey(pieces, order=order, vocab_size=VOCAB)
    fast = smoothing.estimate(counted(pieces, order=order))
    rng = np.random.default_rng(2)
    for length in (1, 2, 3, 4, 6):
        for _ in range(10):
            context = rng.integers(0, VOCAB, size=length).tolist()
            wanted = [slow.probability(context, word) for word in range(VOCAB)]
            assert fast.distribution(context[max(0, length - order + 1) :]) == pytest.approx(
                wanted, abs=1e-14
            )


def test_probabilities_sum_to_one():
    """After any context, seen, unseen or empty, the probabilities of the vocabulary sum to one within 1e-9."""
    table = smoothing.estimate(counted(documents(60, seed=3, vocab_size=300), order=5, vocab_size=300))
    rng = np.random.default_rng(4)
    contexts = [[], *[rng.geometric(0.3, size=rng.integers(1, 7)).tolist() for _ in range(100)]]
    for context in contexts:
        found = table.distribution(context[-4:])
        assert abs(math.fsum(found) - 1) < 1e-9
        assert found.min() > 0


def test_two_ways_of_asking_agree():
    """Looking up tokens one by one gives the same logarithms as the whole distribution."""
    table = smoothing.estimate(counted(documents(30, seed=5)))
    rng = np.random.default_rng(6)
    for length in range(ORDER):
        context = rng.integers(0, VOCAB, size=length)
        nearest_first = np.full((VOCAB, ORDER - 1), VOCAB, dtype=np.int32)
        nearest_first[:, :length] = context[::-1]
        found = table.log_probabilities(nearest_first, np.arange(VOCAB))
        assert np.exp(found) == pytest.approx(table.distribution(context.tolist()), rel=1e-12)


def test_empty_table_is_uniform():
    """A model that has counted nothing holds every token equally likely."""
    table = smoothing.estimate(Counts.empty(order=3, vocab_size=8))
    assert table.distribution([1, 2]).tolist() == [1 / 8] * 8
    asked = np.full((1, 2), 8, dtype=np.int32)
    assert table.log_probabilities(asked, np.array([3])).tolist() == [math.log(1 / 8)]


def test_first_tokens_use_their_counts():
    """After BOS, which has nothing before it, words weigh by how often they followed, not by one each."""
    pieces = [[0, 1, 5]] * 8 + [[0, 2, 5]]
    after_bos = smoothing.estimate(counted(pieces)).distribution([0])
    assert after_bos[1] > 4 * after_bos[2]


def test_discounts_follow_counts_of_counts():
    """Discounts are those of Chen and Goodman: with n1..n4 = 8, 4, 2, 1, Y = 8/16 and D = 1/2, 5/4, 2."""
    adjusted = np.array([1] * 8 + [2] * 4 + [3] * 2 + [4] + [9] * 3)
    assert discounts_of(adjusted) == pytest.approx(
        (1 - 2 * 0.5 * 4 / 8, 2 - 3 * 0.5 * 2 / 4, 3 - 4 * 0.5 * 1 / 2)
    )


@pytest.mark.parametrize("adjusted", [[2, 2, 4, 6], [1, 1, 2, 3], [1, 2, *[3] * 10, 4]])
def test_discounts_fall_back(adjusted):
    """Where counts of counts are missing or give discounts out of range, constants stand in."""
    assert discounts_of(np.array(adjusted)) == FALLBACK_DISCOUNTS

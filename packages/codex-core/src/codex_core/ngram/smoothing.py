"""Interpolated modified Kneser-Ney probabilities, derived from counts.

For a context h of j tokens, with h' the same context without its farthest token:

    P(w | h) = max(a(h w) - D(a(h w)), 0) / a(h .) + B(h) * P(w | h'),   P(w | nothing) ends in 1 / vocab_size

where a(h w) at the highest order is the count, and below it the number of distinct tokens seen before `h w` plus
the occurrences at the start of a document piece, where there is no token before. (For BOS, which stands nowhere
else, this is the count, as usual.) B(h) is the mass that the discounts D set free, so that the probabilities sum to
one; a context that was never seen passes everything on.

Decisions: each order has three discounts, for a = 1, 2, 3 or more, estimated from counts of counts (Chen and
Goodman 1999); where these cannot give usable discounts (small tables, several epochs over the same rows), the
constants 0.5, 1, 1.5 stand in. Everything is float64.

Shapes: V vocabulary, T tokens asked for, N order, C contexts and G n-grams of one length.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from codex_core.ngram.counts import Counts, Ints, is_new, sum_by_code

Floats = NDArray[np.float64]

FALLBACK_DISCOUNTS = (0.5, 1.0, 1.5)


@attrs.frozen(kw_only=True, eq=False)
class Level:
    """All n-grams whose context has one length.

    `contexts` (C, sorted) are codes `shorter context * V + farther token`, `grams` (G, sorted) codes
    `context * V + word`, where contexts are numbered by their place; `shares` (G) are discounted relative
    frequencies, `backoffs` (C) what remains for the shorter context.
    """

    contexts: Ints
    grams: Ints
    shares: Floats
    backoffs: Floats
    discounts: tuple[float, float, float]


@attrs.frozen(kw_only=True, eq=False)
class KneserNey:
    """Probabilities of the next token; `levels[j]` serves contexts of j tokens."""

    vocab_size: int
    levels: tuple[Level, ...]

    def log_probabilities(self, contexts: NDArray[np.int32], words: Ints) -> Floats:
        """Natural-log probabilities (T) of `words` (T) after `contexts` (T x N-1, nearest first, V for none)."""
        probability = np.full(len(words), 1.0 / self.vocab_size)
        alive = np.arange(len(words))
        context = np.zeros(len(words), dtype=np.int64)
        for length, level in enumerate(self.levels):
            if length:
                context, seen = self._longer(level, context, contexts[alive, length - 1])
                alive, context = alive[seen], context[seen]
            if not len(level.backoffs):
                break
            share = _looked_up(level.grams, context * self.vocab_size + words[alive], level.shares)
            probability[alive] = share + level.backoffs[context] * probability[alive]
        logs: Floats = np.log(probability)
        return logs

    def distribution(self, context: Sequence[int]) -> Floats:
        """Probabilities (V) of every token after `context`, given in reading order."""
        size = self.vocab_size
        probability = np.full(size, 1.0 / size)
        node = np.zeros(1, dtype=np.int64)
        nearest_first = [-1, *reversed(context)]
        for level, token in zip(self.levels, nearest_first, strict=False):
            if token >= 0:
                node, seen = self._longer(level, node, np.array([token]))
                node = node[seen]
            if not len(node) or not len(level.backoffs):
                break
            first, last = np.searchsorted(level.grams, [node[0] * size, (node[0] + 1) * size])
            probability *= level.backoffs[node[0]]
            probability[level.grams[first:last] - node[0] * size] += level.shares[first:last]
        return probability

    def _longer(
        self, level: Level, context: Ints, tokens: NDArray[np.int32]
    ) -> tuple[Ints, NDArray[np.bool_]]:
        """Numbers of the contexts that are one token longer, and which of them were seen."""
        codes = context * self.vocab_size + tokens
        found = np.searchsorted(level.contexts, codes)
        inside = (found < len(level.contexts)) & (tokens < self.vocab_size)
        inside[inside] = level.contexts[found[inside]] == codes[inside]
        return found, inside


def estimate(counts: Counts) -> KneserNey:
    """Probabilities from everything counted so far; an empty table gives the uniform distribution."""
    counts.settle()
    numbers, contexts = _number_contexts(counts)
    known = np.count_nonzero(counts.keys[:, :-1] != counts.vocab_size, axis=1)  # context tokens per line
    levels: list[Level] = []
    grams, adjusted = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    for length in reversed(range(counts.order)):
        grams, adjusted = _shortened(grams, contexts[length + 1], counts.vocab_size)
        ends_here = known == length
        own = numbers[length][ends_here] * counts.vocab_size + counts.keys[ends_here, -1]
        grams, adjusted = sum_by_code(
            np.concatenate([grams, own]), np.concatenate([adjusted, counts.counts[ends_here]])
        )
        levels.append(_smoothed(contexts[length], grams, adjusted, counts.vocab_size))
    return KneserNey(vocab_size=counts.vocab_size, levels=tuple(reversed(levels)))


def _number_contexts(counts: Counts) -> tuple[list[Ints], list[Ints]]:
    """Per context length: the number of each line's context (-1 where the piece is shorter), and their codes.

    The lines are sorted with the nearest token first and the border last, so the lines of one context are
    neighbours at every length. One more, empty list of codes stands behind the longest context.
    """
    num_lines = len(counts.keys)
    numbers = [np.zeros(num_lines, dtype=np.int64)]
    codes = [np.zeros(min(num_lines, 1), dtype=np.int64)]
    for column in range(counts.order - 1):
        tokens = counts.keys[:, column]
        lines = np.flatnonzero(tokens != counts.vocab_size)
        line_codes = numbers[-1][lines] * counts.vocab_size + tokens[lines]
        new = is_new(line_codes)
        number = np.full(num_lines, -1, dtype=np.int64)
        number[lines] = np.cumsum(new) - 1
        numbers.append(number)
        codes.append(line_codes[new])
    return numbers, [*codes, np.empty(0, dtype=np.int64)]


def _shortened(grams: Ints, contexts: Ints, vocab_size: int) -> tuple[Ints, Ints]:
    """The n-grams without their farthest token, each counted once per distinct token that stood there."""
    context, words = np.divmod(grams, vocab_size)
    return contexts[context] // vocab_size * vocab_size + words, np.ones(len(grams), dtype=np.int64)


def _smoothed(contexts: Ints, grams: Ints, adjusted: Ints, vocab_size: int) -> Level:
    discounts = discounts_of(adjusted)
    taken = np.array([0.0, *discounts])[np.minimum(adjusted, 3)]
    context = grams // vocab_size
    totals = np.bincount(context, weights=adjusted, minlength=len(contexts))
    return Level(
        contexts=contexts,
        grams=grams,
        shares=(adjusted - taken) / totals[context],
        backoffs=np.bincount(context, weights=taken, minlength=len(contexts)) / totals,
        discounts=discounts,
    )


def discounts_of(adjusted: Ints) -> tuple[float, float, float]:
    """Discounts for counts of 1, 2, and 3 or more, from the counts of counts 1 to 4."""
    n1, n2, n3, n4 = (int(n) for n in np.bincount(np.minimum(adjusted, 5), minlength=6)[1:5])
    if not (n1 and n2 and n3 and n4):
        return FALLBACK_DISCOUNTS
    ratio = n1 / (n1 + 2 * n2)
    found = (1 - 2 * ratio * n2 / n1, 2 - 3 * ratio * n3 / n2, 3 - 4 * ratio * n4 / n3)
    usable = all(0 < discount <= count for count, discount in enumerate(found, start=1))
    return found if usable else FALLBACK_DISCOUNTS


def _looked_up(keys: Ints, wanted: Ints, values: Floats) -> Floats:
    """`values` at the places of `wanted` in the sorted `keys`, 0 where absent."""
    found = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[found] == wanted, values[found], 0.0)

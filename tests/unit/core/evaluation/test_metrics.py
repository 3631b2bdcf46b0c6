"""Metrics against numbers worked out by hand."""

from __future__ import annotations

import itertools
import math

import pytest

from codex_core.errors import InputError
from codex_core.evaluation.metrics import BitsPerByte, Perplexity, TokenStats, WordPerplexity
from codex_core.evaluation.options import MetricOptions
from codex_core.records import ScoredText
from codex_core.testing import check_metric

EVERY = (BitsPerByte, Perplexity, TokenStats, WordPerplexity)


def text(text="", *logprobs):
    """A scored text with as many tokens as numbers."""
    return ScoredText(
        id="1", text=text, num_bytes=len(text.encode()), ids=tuple(range(len(logprobs))), logprobs=logprobs
    )


def measured(cls, *texts):
    """The number of a metric over texts."""
    metric = cls(MetricOptions())
    for scored in texts:
        metric.update(scored)
    return metric.compute()


@pytest.mark.parametrize("cls", EVERY)
def test_metrics_conform(cls):
    """Each metric of the room keeps every promise of the metric contract."""
    check_metric(cls, MetricOptions())


def test_hand_worked_numbers():
    """Two texts, "ab c" (4 bytes, 2 words, 2 tokens) and "é" (2 bytes, 1 word, 1 token), with ln 1/2, 1/4, 1/8."""
    texts = [text("ab c", math.log(1 / 2), math.log(1 / 4)), text("é", math.log(1 / 8))]
    assert measured(BitsPerByte, *texts).value == pytest.approx(6 / 6)  # 1 + 2 + 3 bits over 6 bytes
    assert measured(Perplexity, *texts).value == pytest.approx(2 ** (6 / 3))
    assert measured(WordPerplexity, *texts).value == pytest.approx(2 ** (6 / 3))
    assert measured(TokenStats, *texts).value == pytest.approx(6 / 3)
    assert [measured(cls, *texts).count for cls in EVERY] == [6, 3, 3, 3]


def test_texts_weigh_by_tokens():
    """A long certain text and a short hopeless one are pooled, not averaged: (9 * 0 + 1 * ln 1/1024) / 10."""
    texts = [text("x", *[0.0] * 9), text("y", math.log(1 / 1024))]
    assert measured(Perplexity, *texts).value == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("words", "count"), [("one two", 2), ("one \n\t two", 2), (" one ", 3), ("", 1), ("\u3000x", 2)]
)
def test_words_are_split_at_white_space(words, count):
    """Words are the pieces between runs of white space; empty pieces at the ends count."""
    assert measured(WordPerplexity, text(words, -1.0)).count == count


def test_order_changes_no_digit():
    """Values of very different size give the same number in every order of the texts."""
    texts = [text("a", -1e16), text("b", -1.0), text("c", -1e-16), text("d", -0.1)]
    found = {measured(BitsPerByte, *order).value for order in itertools.permutations(texts)}
    assert len(found) == 1


def test_impossible_token_is_infinite():
    """A token with probability 0, and one so unlikely that exp overflows, make perplexities infinite."""
    assert measured(Perplexity, text("a", -math.inf), text("b", -1.0)).value == math.inf
    assert measured(BitsPerByte, text("a", -math.inf)).value == math.inf
    assert measured(Perplexity, text("a", -1e6)).value == math.inf
    assert measured(WordPerplexity, text("a", -1e6)).value == math.inf


@pytest.mark.parametrize("cls", EVERY)
def test_nothing_scored_is_an_error(cls):
    """No text, and texts without scored tokens, raise EVL-001 instead of giving a number."""
    for texts in ((), (text(""),)):
        with pytest.raises(InputError) as caught:
            measured(cls, *texts)
        assert caught.value.code == "EVL-001"


def test_no_bytes_is_an_error():
    """Bits per byte over empty texts has no denominator."""
    with pytest.raises(InputError, match="nothing to count"):
        measured(BitsPerByte, text("", -1.0))


def test_bytes_without_a_token_are_refused():
    """A text whose bytes no token stands for would flatter the model."""
    with pytest.raises(InputError, match="no scored token"):
        measured(BitsPerByte, text("abc"))

"""Metrics of the perplexity family, and one of the tokenizer.

With L the sum of the natural-log probabilities of all scored tokens, T their number, B the UTF-8 bytes of the texts
and W their words: perplexity = exp(-L / T), word perplexity = exp(-L / W), bits per byte = -L / (B ln 2).

Decisions: texts weigh by their tokens, bytes or words and are never averaged; sums are float64 and exactly rounded
per text and over texts, so the order of texts cannot change a digit; a token that the model holds impossible makes
the number infinite; where there is nothing to divide by, there is no number but an error. Words are the pieces of a
split at runs of white space, with empty outer pieces counted. All bytes of a text count in its denominator, and
every token that follows the first, an end-of-text token included, counts in L.
"""

from __future__ import annotations

import math
import re

from codex_core.contracts import Metric
from codex_core.errors import InputError
from codex_core.evaluation.options import MetricOptions
from codex_core.records import MetricValue, ScoredText

_SPACE = re.compile(r"\s+")


class Perplexity:
    """Perplexity per token; comparable only between models with the same tokenizer."""

    name = "perplexity"
    needs = "loglikelihood"
    unit = "perplexity per token"
    higher_is_better = False
    reference = "exp of the mean negative log-likelihood per scored token"

    def __init__(self, options: MetricOptions) -> None:
        self.totals = Totals()

    def signature(self) -> str:
        """What changes the number."""
        return "perplexity|per:scored token|sums:float64"

    def update(self, scored: ScoredText) -> None:
        """Add one text."""
        self.totals.add(scored, amount=math.fsum(scored.logprobs), count=len(scored.logprobs))

    def compute(self) -> MetricValue:
        """exp(-L / T)."""
        return self.totals.value(self, _exponential(-self.totals.mean(self)))


class WordPerplexity:
    """Perplexity per word, as lm-evaluation-harness counts words."""

    name = "word_perplexity"
    needs = "loglikelihood"
    unit = "perplexity per word"
    higher_is_better = False
    reference = "lm-evaluation-harness: word_perplexity"

    def __init__(self, options: MetricOptions) -> None:
        self.totals = Totals()

    def signature(self) -> str:
        """What changes the number."""
        return "word_perplexity|per:white-space word|sums:float64"

    def update(self, scored: ScoredText) -> None:
        """Add one text."""
        words = len(_SPACE.split(scored.text))
        self.totals.add(scored, amount=math.fsum(scored.logprobs), count=words)

    def compute(self) -> MetricValue:
        """exp(-L / W)."""
        return self.totals.value(self, _exponential(-self.totals.mean(self)))


class BitsPerByte:
    """Bits per UTF-8 byte of the text; comparable between all models, and with compressors."""

    name = "bits_per_byte"
    needs = "loglikelihood"
    unit = "bits/byte"
    higher_is_better = False
    reference = "lm-evaluation-harness: bits_per_byte"

    def __init__(self, options: MetricOptions) -> None:
        self.totals = Totals()

    def signature(self) -> str:
        """What changes the number."""
        return "bits_per_byte|per:utf-8 byte|sums:float64"

    def update(self, scored: ScoredText) -> None:
        """Add one text."""
        self.totals.add(scored, amount=math.fsum(scored.logprobs), count=scored.num_bytes)

    def compute(self) -> MetricValue:
        """-L / (B ln 2)."""
        return self.totals.value(self, -self.totals.mean(self) / math.log(2))


class TokenStats:
    """UTF-8 bytes of text per scored token: how much the tokenizer puts into one step of a model."""

    name = "token_stats"
    needs = "tokens"
    unit = "bytes/token"
    higher_is_better = True
    reference = "bytes of the texts divided by their scored tokens"

    def __init__(self, options: MetricOptions) -> None:
        self.totals = Totals()

    def signature(self) -> str:
        """What changes the number."""
        return "token_stats|bytes per:scored token"

    def update(self, scored: ScoredText) -> None:
        """Add one text."""
        self.totals.add(scored, amount=float(scored.num_bytes), count=len(scored.ids))

    def compute(self) -> MetricValue:
        """Bytes divided by tokens."""
        return self.totals.value(self, self.totals.mean(self))


class Totals:
    """An amount and a count over texts, each added exactly."""

    def __init__(self) -> None:
        self.amounts: list[float] = []
        self.count = 0
        self.num_tokens = 0

    def add(self, scored: ScoredText, *, amount: float, count: int) -> None:
        """Add one text; bytes for which the model was never asked would flatter it, so they are refused."""
        if scored.num_bytes and not scored.ids:
            raise InputError(
                code="EVL-001",
                what=f"text {scored.id!r} has {scored.num_bytes} bytes and no scored token",
                why="its rendering holds at most one token, and the first one is only context",
                fix="encode with a tokenizer whose rendering begins with BOS",
            )
        self.amounts.append(amount)
        self.count += count
        self.num_tokens += len(scored.ids)

    def mean(self, metric: Metric) -> float:
        """The amount per count; raises `InputError` where nothing was counted."""
        if not (self.count and self.num_tokens):
            raise InputError(
                code="EVL-001",
                what=f"{metric.name} has nothing to count",
                why=f"{len(self.amounts)} texts with {self.num_tokens} scored tokens were evaluated",
                fix="name a split that holds text",
            )
        return math.fsum(self.amounts) / self.count

    def value(self, metric: Metric, value: float) -> MetricValue:
        """`value` with what is needed to compare it."""
        return MetricValue(
            name=metric.name,
            value=value,
            unit=metric.unit,
            count=self.count,
            signature=metric.signature(),
        )


def _exponential(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf

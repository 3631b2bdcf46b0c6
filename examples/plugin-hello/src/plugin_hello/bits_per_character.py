"""Bits per character: the negative log-likelihood of all scored tokens, divided by the characters of their texts.

A character is a code point. Texts weigh by their characters, and sums are exactly rounded, so that their order cannot
change a digit.
"""

import math

from codex_core.errors import InputError
from codex_core.records import MetricValue, ScoredText
from plugin_hello.options import CharacterOptions


class BitsPerCharacter:
    """Comparable between all models over the same texts; see `codex_core.contracts.Metric`."""

    name = "bits_per_character"
    needs = "loglikelihood"
    unit = "bits/character"
    higher_is_better = False
    reference = (
        "negative log-likelihood of the scored tokens in bits, divided by the code points of the texts"
    )

    def __init__(self, options: CharacterOptions) -> None:
        self.options = options
        self.logprobs: list[float] = []
        self.num_characters = 0

    def signature(self) -> str:
        """What changes the number."""
        return f"bits_per_character|characters:{self.options.count}|sums:float64"

    def update(self, scored: ScoredText) -> None:
        """Add one text."""
        self.logprobs.append(math.fsum(scored.logprobs))
        every = self.options.count == "all"
        self.num_characters += sum(every or not character.isspace() for character in scored.text)

    def compute(self) -> MetricValue:
        """The bits over all texts, divided by their characters."""
        if not self.num_characters:
            raise InputError(
                code="HELLO-001",
                what="bits_per_character has no character to count",
                why=f"{len(self.logprobs)} texts were evaluated",
                fix="name a split that holds text",
            )
        bits = -math.fsum(self.logprobs) / math.log(2)
        return MetricValue(
            name=self.name,
            value=bits / self.num_characters,
            unit=self.unit,
            count=self.num_characters,
            signature=self.signature(),
        )

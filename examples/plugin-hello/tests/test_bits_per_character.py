"""What the metric does beyond what every metric must do."""

import math

import pytest
from plugin_hello.bits_per_character import BitsPerCharacter
from plugin_hello.options import CharacterOptions

from codex_core.records import ScoredText

#: Three characters in four bytes, of which the model gave each one half.
TEXT = ScoredText(id="a", text="é b", num_bytes=4, ids=(1, 2, 3), logprobs=(math.log(0.5),) * 3)


@pytest.mark.parametrize(("count", "bits"), [("all", 1.0), ("not white space", 1.5)])
def test_characters_are_counted_not_bytes(count, bits):
    """Three halvings are three bits: one for each character, or one and a half without the blank."""
    metric = BitsPerCharacter(CharacterOptions(count=count))
    metric.update(TEXT)

    assert metric.compute().value == pytest.approx(bits)

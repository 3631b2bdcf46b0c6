"""The settings of generation on a distribution of an n-gram."""

from __future__ import annotations

from random import Random

import numpy as np

from codex_core.ngram.sampling import choose
from codex_core.records import GenerationSettings


def test_min_p_leaves_what_is_nearly_as_likely():
    """Only tokens at least this share as likely as the likeliest are drawn."""
    probabilities = np.array([0.3, 0.1, 0.4, 0.05, 0.15])
    settings, chance = GenerationSettings(min_p=0.3), Random(0)
    assert {choose(probabilities, settings, chance) for _ in range(300)} == {0, 2, 4}


def test_a_penalty_makes_known_tokens_less_likely():
    """Greedy choice moves on from a token that was made before; unknown ones keep their probability."""
    probabilities = np.array([0.5, 0.3, 0.2])
    settings, chance = GenerationSettings(temperature=0.0, repetition_penalty=3.0), Random(0)
    assert choose(probabilities, settings, chance) == 0
    assert choose(probabilities, settings, chance, known=[0]) == 1

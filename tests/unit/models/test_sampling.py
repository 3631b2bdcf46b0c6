"""Each setting of generation, against numbers worked out by hand."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import torch

from codex_core.records import GenerationSettings
from codex_models.sampling import Sampler, choose, choose_all, penalised

#: Logits of a distribution over five tokens: 0.4, 0.3, 0.15, 0.1, 0.05 in the order 2, 0, 4, 1, 3.
LOGITS = torch.tensor([math.log(p) for p in (0.3, 0.1, 0.4, 0.05, 0.15)])


def _drawn(**settings: float) -> set[int]:
    """Every token that 400 draws give."""
    generator = torch.Generator().manual_seed(0)
    asked = GenerationSettings(**settings)
    return {choose(LOGITS, asked, generator) for _ in range(400)}


@pytest.mark.parametrize(
    ("settings", "left"),
    [
        ({}, {0, 1, 2, 3, 4}),
        ({"temperature": 0.0}, {2}),
        ({"top_k": 2}, {2, 0}),
        ({"top_p": 0.7}, {2, 0}),
        ({"top_p": 0.71}, {2, 0, 4}),
        ({"min_p": 0.24}, {2, 0, 4, 1}),
        ({"min_p": 0.3}, {2, 0, 4}),
        ({"min_p": 1.0}, {2}),
        ({"top_k": 3, "min_p": 0.5}, {2, 0}),
    ],
)
def test_what_a_setting_leaves(settings, left):
    """Draws come from exactly the tokens that the setting leaves."""
    assert _drawn(**settings) == left


def test_draws_follow_the_distribution():
    """Over 4,000 draws each token comes as often as its probability says, within four standard errors."""
    generator = torch.Generator().manual_seed(1)
    counts = Counter(choose(LOGITS, GenerationSettings(), generator) for _ in range(4000))
    for token, share in enumerate((0.3, 0.1, 0.4, 0.05, 0.15)):
        assert abs(counts[token] / 4000 - share) < 4 * math.sqrt(share * (1 - share) / 4000)


def test_temperature_sharpens():
    """Half the temperature squares the odds: 0.4 against 0.3 becomes 16 to 9."""
    generator = torch.Generator().manual_seed(2)
    asked = GenerationSettings(temperature=0.5, top_k=2)
    counts = Counter(choose(LOGITS, asked, generator) for _ in range(4000))
    assert counts[2] / 4000 == pytest.approx(16 / 25, abs=4 * math.sqrt(0.64 * 0.36 / 4000))


def test_repetition_penalty_by_hand():
    """Known tokens: positive logits are divided, negative ones multiplied; the rest stays."""
    logits = torch.tensor([2.0, -1.0, 3.0, 0.0])
    assert penalised(logits, 2.0, {0, 1, 3}).tolist() == [1.0, -2.0, 3.0, 0.0]
    assert logits.tolist() == [2.0, -1.0, 3.0, 0.0]


def test_greedy_with_a_penalty_moves_on():
    """What was made is penalised from then on, and what stood in the prompt from the start."""
    settings = GenerationSettings(temperature=0.0, repetition_penalty=10.0)
    logits = torch.tensor([3.0, 2.0, 2.5])
    fresh, prompted = Sampler(settings, 0, [1]), Sampler(settings, 1, [0])
    assert [fresh.choose(logits) for _ in range(2)] == [0, 2]
    assert prompted.choose(logits) == 2


def test_company_does_not_change_a_draw():
    """A prompt's tokens depend on its number and the seed, not on the rows beside it."""
    settings = GenerationSettings(seed=3)
    rows = torch.stack([LOGITS, LOGITS.flip(0)])
    together = [Sampler(settings, number, []) for number in range(2)]
    alone = [Sampler(settings, number, []) for number in range(2)]
    for _ in range(20):
        assert choose_all(rows, together) == [
            sampler.choose(row) for sampler, row in zip(alone, rows, strict=True)
        ]

"""Choosing the next token of every row from its logits.

Decisions: the settings apply in their order (`codex_core.records.GenerationSettings`); each prompt draws from a
generator of its own, seeded by the settings' seed and its number, so the company in a batch changes nothing; a draw
is made in float64 among the tokens that are left, in falling order, so equal logits give equal tokens anywhere.

Shapes: B rows, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from codex_core.records import GenerationSettings
from codex_core.seeds import seed_for


class Sampler:
    """What one prompt's continuation remembers: its generator, and which ids it has read or made."""

    def __init__(self, settings: GenerationSettings, number: int, prompt: Sequence[int]) -> None:
        self.settings = settings
        self.generator = torch.Generator().manual_seed(seed_for(settings.seed, "sampling", number))
        self.known = set(prompt) if settings.repetition_penalty != 1.0 else set()

    def choose(self, logits_V: Tensor) -> int:
        """The next token: the likeliest at temperature 0, else a draw from what the settings leave."""
        if self.known:
            logits_V = penalised(logits_V, self.settings.repetition_penalty, self.known)
        token = choose(logits_V, self.settings, self.generator)
        if self.settings.repetition_penalty != 1.0:
            self.known.add(token)
        return token


def choose_all(logits_BV: Tensor, samplers: Sequence[Sampler]) -> list[int]:
    """The next token of every row; `samplers` belong to the rows."""
    settings = samplers[0].settings
    if settings.temperature == 0.0 and settings.repetition_penalty == 1.0:
        # numpy: 8 x 8192 take it 10 us, torch 60 (2 cores)
        likeliest: list[int] = logits_BV.numpy().argmax(-1).tolist()
        return likeliest
    return [sampler.choose(row_V) for sampler, row_V in zip(samplers, logits_BV, strict=True)]


def choose(logits_V: Tensor, settings: GenerationSettings, generator: torch.Generator) -> int:
    """The likeliest token at temperature 0, else a draw from what `top_k`, `top_p` and `min_p` leave."""
    if settings.temperature == 0.0:
        return int(logits_V.argmax())
    probabilities, ids = (
        (logits_V.double() / settings.temperature).softmax(-1).sort(descending=True, stable=True)
    )
    if settings.top_k:
        probabilities, ids = probabilities[: settings.top_k], ids[: settings.top_k]
    likeliest = probabilities[0].clone()
    if settings.top_p < 1.0:
        # A token stays while those before it have not reached top_p, so at least one always does.
        before = probabilities.cumsum(-1) - probabilities
        probabilities = probabilities[before < settings.top_p * probabilities.sum()]
    if settings.min_p > 0.0:
        probabilities = probabilities[probabilities >= settings.min_p * likeliest]
    return int(ids[torch.multinomial(probabilities, 1, generator=generator)])


def penalised(logits_V: Tensor, penalty: float, known: set[int]) -> Tensor:
    """Logits in which known tokens are less likely: positive ones divided, negative ones multiplied."""
    ids = torch.tensor(sorted(known))
    held = logits_V[ids]
    return logits_V.index_copy(0, ids, torch.where(held > 0, held / penalty, held * penalty))

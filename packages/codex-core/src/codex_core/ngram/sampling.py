"""Choosing the next token from a distribution.

Decisions: temperature 0 takes the most probable token, the lowest id among equals; otherwise one uniform number per
token picks from the probabilities in falling order, after the settings in their order (`records`). Log-probabilities
stand where other models have logits. Python's own generator is used,
because its stream is promised to stay the same. A stop id ends a continuation and is not part of it.

Shapes: V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from random import Random

import numpy as np
from numpy.typing import NDArray

from codex_core.records import GenerationChunk, GenerationSettings
from codex_core.seeds import seed_for

Floats = NDArray[np.float64]


def continue_prompt(
    index: int,
    prompt: Sequence[int],
    settings: GenerationSettings,
    *,
    reach: int,
    distribution: Callable[[Sequence[int]], Floats],
) -> Iterator[GenerationChunk]:
    """Continue one prompt; `distribution` gives probabilities (V) after at most `reach` tokens."""
    chance = Random(seed_for(settings.seed, "sampling", index))
    known = list(prompt)
    for _ in range(settings.max_new_tokens):
        context = known[len(known) - min(reach, len(known)) :]
        token = choose(distribution(context), settings, chance, known=known)
        if token in settings.stop_ids:
            yield GenerationChunk(index=index, ids=(), finish_reason="stop")
            return
        known.append(token)
        yield GenerationChunk(index=index, ids=(token,))
    yield GenerationChunk(index=index, ids=(), finish_reason="length")


def choose(
    probabilities: Floats, settings: GenerationSettings, chance: Random, *, known: Sequence[int] = ()
) -> int:
    """The next token under `settings`; `chance` is asked once, and not at all when greedy."""
    if settings.repetition_penalty != 1.0 and known:
        probabilities = _penalised(probabilities, settings.repetition_penalty, known)
    if settings.temperature == 0:
        return int(np.argmax(probabilities))
    order = np.argsort(-probabilities, kind="stable")
    if settings.top_k > 0:
        order = order[: settings.top_k]
    with np.errstate(divide="ignore"):  # log(0) is -inf, and such a token keeps weight 0
        scaled = np.log(probabilities[order]) / settings.temperature
    weights = np.exp(scaled - scaled[0])
    reached = np.cumsum(weights / weights.sum())
    if settings.top_p < 1:
        kept = int(np.searchsorted(reached, settings.top_p)) + 1
        reached = reached[:kept]
    if settings.min_p > 0:
        kept = int(np.count_nonzero(weights[: len(reached)] >= settings.min_p))  # weights fall from 1
        reached = reached[:kept]
    place = np.searchsorted(reached, chance.random() * reached[-1], side="right")
    return int(order[min(int(place), len(reached) - 1)])


def _penalised(probabilities: Floats, penalty: float, known: Sequence[int]) -> Floats:
    """Weights in which known tokens have their (negative) log-probabilities multiplied."""
    seen = np.unique(np.asarray(known, dtype=np.int64))
    weights = probabilities.copy()
    weights[seen] = weights[seen] ** penalty
    return weights

"""What every model must do once it is opened for scoring and generation."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from pathlib import Path
from random import Random
from typing import Any

import attrs

from codex_core.contracts import LanguageModel, ModelClass
from codex_core.errors import ArtefactError, InputError, UsageError
from codex_core.records import GenerationSettings
from codex_core.testing.claims import claim, refuses

#: Vocabularies larger than this are not summed over.
_SUMMED_VOCABULARY = 2048


#: What a model may declare; one that declares nothing is held to scoring and generation.
CAPABILITIES = frozenset({"adapter", "generate", "loglikelihood"})


def check_model(
    cls: ModelClass,
    options: Any,
    *,
    trained: Path,
    empty: Path,
    tolerance: float = 1e-9,
    capabilities: Collection[str] = ("generate", "loglikelihood"),
) -> None:
    """Open the `model/` folder `trained` of a checkpoint, score and generate; `empty` is an empty folder.

    `tolerance` bounds, in nats, how far numbers may move between batches, and sums of probabilities from one.
    Of `capabilities`, `loglikelihood` asks for scores, `generate` for continuations, and `adapter` for an `open` that
    takes the folder of a base where the model needs one, and refuses it where it does not.
    """
    model = cls.open(trained)
    claim(isinstance(model, LanguageModel), "what open returns lacks a member of contracts.LanguageModel")
    claim(model.fingerprint() == cls.open(trained).fingerprint(), "opening twice gives two fingerprints")
    refuses(lambda: cls.open(empty), ArtefactError, "opening an empty folder must raise ArtefactError")
    cls.build(options, vocab_size=model.vocab_size, seed=1)
    if "loglikelihood" in capabilities:
        check_scoring(model, tolerance=tolerance)
    if "generate" in capabilities:
        check_generation(model)
    if "adapter" in capabilities:
        opened: Any = cls.open
        refuses(lambda: opened(trained, base=empty), UsageError, "a base that nothing needs must be refused")


def check_scoring(model: LanguageModel, *, tolerance: float = 1e-9) -> None:
    """Log-probabilities of rows: how many, how large, independent of the batch, summing to one."""
    longest = min(model.context_length or 24, 24)
    rows = _random_rows(model.vocab_size, lengths=(2, longest, 1, 5, longest))
    found = model.loglikelihood(rows)
    claim(
        [len(row) for row in found] == [len(row) - 1 for row in rows],
        "each row gives one number less than it has tokens",
    )
    claim(
        all(isinstance(value, float) and value <= tolerance for row in found for value in row),
        "log-probabilities are Python floats of at most 0",
    )
    for row, together in zip(rows, found, strict=True):
        alone = model.loglikelihood([row])[0]
        claim(_near(alone, together, tolerance), "a row scores differently beside other rows")
        earlier = model.loglikelihood([row[:-1]])[0] if len(row) > 1 else []
        claim(_near(earlier, together[: len(earlier)], tolerance), "a token's score depends on later tokens")
    claim(model.loglikelihood([]) == [], "no rows give no numbers")
    _check_sum(model, rows[1][: longest - 1], tolerance)
    if model.context_length is not None:
        too_long = [0] * (model.context_length + 1)
        refuses(
            lambda: model.loglikelihood([too_long]),
            InputError,
            "a row beyond the context must raise InputError",
        )


def _check_sum(model: LanguageModel, context: Sequence[int], tolerance: float) -> None:
    if model.vocab_size > _SUMMED_VOCABULARY:
        return
    rows = [[*context, token] for token in range(model.vocab_size)]
    total = math.fsum(math.exp(row[-1]) for row in model.loglikelihood(rows))
    claim(abs(total - 1) <= tolerance, f"the probabilities of all next tokens sum to {total!r}, not to one")


def check_generation(model: LanguageModel) -> None:
    """Continuations: one end per prompt, repeatable, as long as asked, ended by stop ids."""
    prompts = _random_rows(model.vocab_size, lengths=(1, 4, 2))
    settings = GenerationSettings(max_new_tokens=4, temperature=0.8, seed=3)
    found = _continued(model, prompts, settings)
    claim(found == _continued(model, prompts, settings), "the same seed gives two continuations")
    claim(
        all(0 <= token < model.vocab_size for ids, _ in found for token in ids),
        "generated ids leave the vocabulary",
    )
    claim(
        all(reason == "length" for _, reason in found), "without stop ids a continuation ends with `length`"
    )
    claim(all(len(ids) == 4 for ids, _ in found), "max_new_tokens must be reached where nothing stops before")
    greedy = attrs.evolve(settings, temperature=0.0)
    for seed in (1, 2):
        reseeded = attrs.evolve(greedy, seed=seed)
        claim(
            _continued(model, prompts, reseeded) == _continued(model, prompts, greedy),
            "greedy depends on the seed",
        )
    best = attrs.evolve(settings, top_k=1)
    claim(
        _continued(model, prompts, best) == _continued(model, prompts, greedy), "top_k 1 differs from greedy"
    )
    everything = attrs.evolve(settings, stop_ids=tuple(range(model.vocab_size)))
    claim(
        _continued(model, prompts, everything) == [([], "stop")] * len(prompts),
        "a stop id must end the continuation with `stop` and not be part of it",
    )


def _continued(
    model: LanguageModel, prompts: Sequence[Sequence[int]], settings: GenerationSettings
) -> list[tuple[list[int], str]]:
    ids: list[list[int]] = [[] for _ in prompts]
    reasons: list[list[str]] = [[] for _ in prompts]
    for chunk in model.generate(prompts, settings):
        claim(not reasons[chunk.index], "a prompt continues after its last chunk")
        ids[chunk.index].extend(chunk.ids)
        reasons[chunk.index].extend([chunk.finish_reason] if chunk.finish_reason else [])
    claim(all(len(found) == 1 for found in reasons), "each prompt must end with exactly one finish_reason")
    return [(row, found[0]) for row, found in zip(ids, reasons, strict=True)]


def _random_rows(vocab_size: int, *, lengths: Sequence[int]) -> list[list[int]]:
    chance = Random(1)
    return [[chance.randrange(vocab_size) for _ in range(length)] for length in lengths]


def _near(left: Sequence[float], right: Sequence[float], tolerance: float) -> bool:
    return len(left) == len(right) and all(
        math.isclose(a, b, rel_tol=0, abs_tol=tolerance) or a == b for a, b in zip(left, right, strict=True)
    )

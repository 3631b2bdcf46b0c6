"""A decoder as evaluation and generation see it: `LanguageModel` over a module.

Decisions: rows are scored in batches of similar length, padded at the right, where a causal model cannot see the
padding; scoring uses no random numbers and leaves the module as it was, so it may look at a model in training.

Shapes: B rows, T tokens, N scored tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

import torch

from codex_core.errors import InputError
from codex_core.records import GenerationChunk, GenerationSettings
from codex_models.decoding import DecoderReading, Weights
from codex_models.generate import generate
from codex_models.loss import log_probabilities
from codex_models.precision import dtype_name
from codex_models.reading import ModuleReading, Reading, padded
from codex_models.state import model_fingerprint

if TYPE_CHECKING:
    from codex_models.modules import CachingModule

#: Tokens of one batch, padding included: with 8,192 an evaluation took more memory than the training beside it.
_TOKENS_AT_ONCE = 2048


class TorchLanguageModel:
    """Scores and continues rows of token ids."""

    def __init__(
        self,
        model: CachingModule,
        *,
        fingerprint: str | None = None,
        weights: Callable[[], Weights] | None = None,
        scores: Callable[[Sequence[Sequence[int]]], Iterator[list[float]]] | None = None,
        reads: Callable[[], Reading] | None = None,
    ) -> None:
        """`weights` reads a module that will not change any more, once something is generated with it.

        A model of another library scores rows with `scores` and reads prompts with what `reads` makes.
        """
        self.model = model
        self._scores = scores or self._score
        self._reads = reads
        self._fingerprint = fingerprint
        self._weights = None if weights is None else cache(weights)

    @property
    def vocab_size(self) -> int:
        """Number of token ids."""
        return self.model.vocab_size

    @property
    def context_length(self) -> int | None:
        """Longest row in tokens, None when nothing limits it."""
        return self.model.context_length

    @property
    def placement(self) -> str:
        """Where and in which type parameters are, as they are now: `cpu in float32`."""
        parameter = next(self.model.parameters())
        return f"{parameter.device} in {dtype_name(parameter.dtype)}"

    def loglikelihood(self, token_rows: Sequence[Sequence[int]]) -> list[list[float]]:
        """Natural-log probabilities, `len(row) - 1` per row; raises `InputError` for rows that do not fit."""
        for index, row in enumerate(token_rows):
            self.require_fit(row, f"row {index}")
        found: list[list[float]] = [[] for _ in token_rows]
        lengths = [len(row) for row in token_rows]
        order = sorted((index for index, length in enumerate(lengths) if length > 1), key=lengths.__getitem__)
        with self.undisturbed(), torch.no_grad():
            for batch in _batches(order, lengths):
                for index, values in zip(batch, self._scores([token_rows[i] for i in batch]), strict=True):
                    found[index] = values
        return found

    def generate(
        self, prompts: Sequence[Sequence[int]], settings: GenerationSettings
    ) -> Iterator[GenerationChunk]:
        """Continue prompts; each ends with one chunk that has a `finish_reason`."""
        for index, prompt in enumerate(prompts):
            self.require_fit(prompt, f"prompt {index}")
            if not prompt:
                raise InputError(
                    code="MOD-005", what=f"prompt {index} is empty", fix="begin it with the BOS id"
                )
        return generate(self, prompts, settings)

    def reading(self, num_places: int) -> Reading:
        """Something that reads rows of up to `num_places` tokens: the fast way when there is one."""
        if self._reads is not None:
            return self._reads()
        if self._weights is not None:
            return DecoderReading(self._weights(), num_places=num_places)
        return ModuleReading(self, num_places)

    def fingerprint(self) -> str:
        """`blake3:<hex>` over the parameters; of a live model, as they are now."""
        return self._fingerprint or model_fingerprint(self.model)

    def require_fit(self, row: Sequence[int], name: str) -> None:
        """Refuse a row that is longer than the context or holds ids that do not exist."""
        limit = self.context_length
        if limit is not None and len(row) > limit:
            raise InputError(
                code="MOD-005",
                what=f"{name} has {len(row)} tokens and the model's context is {limit}",
                fix=f"cut it into windows of at most {limit} tokens",
            )
        if row and not 0 <= min(row) <= max(row) < self.vocab_size:
            raise InputError(
                code="MOD-006",
                what=f"{name} holds token id {max(row) if min(row) >= 0 else min(row)}",
                why=f"the model knows ids 0 to {self.vocab_size - 1}",
                fix="use the tokenizer that the checkpoint names",
            )

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Evaluation mode and parameters' own precision inside, the former state afterwards."""
        model = self.model
        training, dtype = model.training, model.compute_dtype
        model.train(False)
        model.compute_dtype = next(model.parameters()).dtype
        try:
            yield
        finally:
            model.train(training)
            model.compute_dtype = dtype

    def _score(self, rows: Sequence[Sequence[int]]) -> Iterator[list[float]]:
        model, device = self.model, next(self.model.parameters()).device
        lengths = [len(row) - 1 for row in rows]
        ids_BT = padded(rows).to(device)
        inputs_BT, targets_BT = ids_BT[:, :-1], ids_BT[:, 1:]
        positions_BT = torch.arange(inputs_BT.shape[1], device=device).expand_as(inputs_BT)
        hidden_BTD = model.hidden(inputs_BT, positions_BT, torch.zeros_like(inputs_BT))
        real_BT = positions_BT < torch.tensor(lengths, device=device)[:, None]
        values_N = log_probabilities(hidden_BTD[real_BT], model.head.weight, targets_BT[real_BT])
        for values in values_N.cpu().split(lengths):
            yield values.tolist()


def _batches(order: Sequence[int], lengths: Sequence[int]) -> Iterator[Sequence[int]]:
    """Cut `order` (by rising length) into batches of at most `_TOKENS_AT_ONCE` tokens, padding included."""
    start = 0
    for end in range(1, len(order) + 1):
        if end == len(order) or lengths[order[end]] * (end + 1 - start) > _TOKENS_AT_ONCE:
            yield order[start:end]
            start = end

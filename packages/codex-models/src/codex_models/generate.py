"""Continuing prompts token by token, with keys and values of what was read kept in a cache.

Decisions: prompts of a batch share forward passes and nothing else; each samples from a generator of its own,
seeded by the settings' seed and its number; rows that end leave the batch; a row ends with `stop` at a stop id
(which is not part of its ids), with `length` at `max_new_tokens` or at the end of the context.

Shapes: B rows still going, T tokens, S places of the cache, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from codex_core.records import GenerationChunk, GenerationSettings
from codex_core.seeds import seed_for

if TYPE_CHECKING:
    from codex_models.live import TorchLanguageModel

#: Prompts that share forward passes.
_ROWS_AT_ONCE = 32


def generate(
    language_model: TorchLanguageModel, prompts: Sequence[Sequence[int]], settings: GenerationSettings
) -> Iterator[GenerationChunk]:
    """Yield new ids as they come; every prompt ends with exactly one chunk that has a `finish_reason`."""
    for start in range(0, len(prompts), _ROWS_AT_ONCE):
        numbers = range(start, min(start + _ROWS_AT_ONCE, len(prompts)))
        yield from _Batch(language_model, prompts, numbers, settings).run()


class _Batch:
    """Prompts on their way: `rows` are the numbers of those still going, in the order of the cache's rows."""

    def __init__(
        self,
        language_model: TorchLanguageModel,
        prompts: Sequence[Sequence[int]],
        numbers: Sequence[int],
        settings: GenerationSettings,
    ) -> None:
        self.language_model = language_model
        self.settings = settings
        self.rows = list(numbers)
        self.prompts = [prompts[number] for number in numbers]
        self.lengths = torch.tensor([len(prompt) for prompt in self.prompts])
        self.room = {number: self._room(len(prompts[number])) for number in numbers}
        self.samplers = {
            number: torch.Generator().manual_seed(seed_for(settings.seed, "sampling", number))
            for number in numbers
        }

    def run(self) -> Iterator[GenerationChunk]:
        """Read the prompts at once, then one token per row and pass."""
        yield from self._end(
            [number for number in self.rows if self.room[number] == 0], "length", cached=False
        )
        if not self.rows:
            return
        logits_BV = self._read_prompts()
        while True:
            chosen = [
                choose(row_V, self.settings, self.samplers[number])
                for number, row_V in zip(self.rows, logits_BV, strict=True)
            ]
            stopped = []
            for number, token in zip(self.rows, chosen, strict=True):
                if token in self.settings.stop_ids:
                    stopped.append(number)
                else:
                    self.room[number] -= 1
                    yield GenerationChunk(index=number, ids=(token,))
            tokens = dict(zip(self.rows, chosen, strict=True))
            yield from self._end(stopped, "stop")
            yield from self._end([number for number in self.rows if self.room[number] == 0], "length")
            if not self.rows:
                return
            logits_BV = self._read_tokens([tokens[number] for number in self.rows])

    def _room(self, prompt_length: int) -> int:
        """New tokens that fit: the last one is never read, hence the extra place."""
        context = self.language_model.context_length
        new = self.settings.max_new_tokens
        return new if context is None else min(new, context + 1 - prompt_length)

    def _end(self, numbers: Sequence[int], reason: str, *, cached: bool = True) -> Iterator[GenerationChunk]:
        if not numbers:
            return
        keep = [place for place, number in enumerate(self.rows) if number not in numbers]
        self.rows = [self.rows[place] for place in keep]
        self.prompts = [self.prompts[place] for place in keep]
        self.lengths = self.lengths[keep]
        if cached:
            for layer in self.caches:
                layer.keep(keep)
        for number in numbers:
            yield GenerationChunk(index=number, ids=(), finish_reason=reason)

    def _read_prompts(self) -> Tensor:
        ids_BT = padded(self.prompts)
        B, T = ids_BT.shape
        num_places = int((self.lengths + torch.tensor([self.room[n] for n in self.rows])).max())
        self.caches = self.language_model.model.caches(B, num_places)
        positions_BT = torch.arange(T).expand(B, T)
        hidden_BTD = self._forward(ids_BT, positions_BT, starts=None, num_seen=T)
        return self._logits(hidden_BTD[torch.arange(B), self.lengths - 1])

    def _read_tokens(self, tokens: Sequence[int]) -> Tensor:
        starts_B = self.lengths
        self.lengths = starts_B + 1
        hidden_BTD = self._forward(
            torch.tensor(tokens)[:, None],
            starts_B[:, None],
            starts=starts_B,
            num_seen=int(self.lengths.max()),
        )
        return self._logits(hidden_BTD[:, 0])

    def _forward(
        self, ids_BT: Tensor, positions_BT: Tensor, *, starts: Tensor | None, num_seen: int
    ) -> Tensor:
        model = self.language_model.model
        device, dtype = model.head.weight.device, model.head.weight.dtype
        hidden_BTS = torch.arange(num_seen) > positions_BT[:, :, None]
        mask = (
            torch.zeros(hidden_BTS.shape, dtype=dtype)
            .masked_fill_(hidden_BTS, -torch.inf)[:, None]
            .to(device)
        )
        for layer in self.caches:
            layer.place(None if starts is None else starts.to(device), num_seen)
        with self.language_model.undisturbed(), torch.no_grad():
            ids_BT, positions_BT = ids_BT.to(device), positions_BT.to(device)
            return model.hidden(ids_BT, positions_BT, ids_BT, caches=self.caches, mask=mask)

    @torch.no_grad()
    def _logits(self, hidden_BD: Tensor) -> Tensor:
        return self.language_model.model.head(hidden_BD).float().cpu()


def choose(logits_V: Tensor, settings: GenerationSettings, sampler: torch.Generator) -> int:
    """The next token: the likeliest at temperature 0, else a draw from what `top_k` and `top_p` leave."""
    if settings.temperature == 0.0:
        return int(logits_V.argmax())
    probabilities, ids = (
        (logits_V.double() / settings.temperature).softmax(-1).sort(descending=True, stable=True)
    )
    if settings.top_k:
        probabilities, ids = probabilities[: settings.top_k], ids[: settings.top_k]
    if settings.top_p < 1.0:
        # A token stays while those before it have not reached top_p, so at least one always does.
        before = probabilities.cumsum(-1) - probabilities
        probabilities = probabilities[before < settings.top_p * probabilities.sum()]
    return int(ids[torch.multinomial(probabilities, 1, generator=sampler)])


def padded(rows: Sequence[Sequence[int]]) -> Tensor:
    """Rows of ids as one (B, T) tensor, padded at the right with id 0."""
    width = max(map(len, rows))
    return torch.tensor([[*row, *[0] * (width - len(row))] for row in rows], dtype=torch.int64)

"""Continuing prompts token by token, with keys and values of what was read kept in a cache.

Decisions: prompts of a batch share forward passes and nothing else; rows that end leave the batch; a row ends with
`stop` at a stop id (which is not part of its ids), with `length` at `max_new_tokens` or at the end of the context.

Shapes: B rows still going, T tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from codex_core.records import GenerationChunk, GenerationSettings
from codex_models.sampling import Sampler, choose_all

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
        self.room = {number: self._room(len(prompts[number])) for number in numbers}
        self.samplers = {number: Sampler(settings, number, prompts[number]) for number in numbers}

    def run(self) -> Iterator[GenerationChunk]:
        """Read the prompts at once, then one token per row and pass."""
        yield from self._end(
            [number for number in self.rows if self.room[number] == 0], "length", cached=False
        )
        if not self.rows:
            return
        # Rows may share places, so the one with the shortest prompt may need those beyond the longest.
        num_places = max(map(len, self.prompts)) + max(self.room[number] for number in self.rows)
        self.reading = self.language_model.reading(num_places)
        logits_BV = self.reading.read_prompts(self.prompts).cpu()
        while True:
            chosen = choose_all(logits_BV, [self.samplers[number] for number in self.rows])
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
            logits_BV = self.reading.read_tokens([tokens[number] for number in self.rows]).cpu()

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
        if cached:
            self.reading.keep(keep)
        for number in numbers:
            yield GenerationChunk(index=number, ids=(), finish_reason=reason)

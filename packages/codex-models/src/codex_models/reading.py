"""Reading tokens through a module as it is, with a cache: for models in training and those of other libraries.

Decision: rows are padded at the right and each keeps its own length, which any module that takes positions and a
mask can follow; a decoder that was opened for inference is read by `decoding`, which is several times faster.

Shapes: B rows, T tokens, S places of the cache, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

if TYPE_CHECKING:
    from codex_models.live import TorchLanguageModel


class Reading(Protocol):
    """Rows on their way: `read_prompts` once, then `read_tokens` again and again; float32 logits (B, V) each."""

    def read_prompts(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """Read prompts of any lengths at once."""

    def read_tokens(self, tokens: Sequence[int]) -> Tensor:
        """Read one more token per row."""

    def keep(self, rows: list[int]) -> None:
        """Drop all rows but these."""


class ModuleReading:
    """Reads through `hidden` and `head` of the module behind a language model."""

    def __init__(self, language_model: TorchLanguageModel, num_places: int) -> None:
        self.language_model = language_model
        self.num_places = num_places

    def read_prompts(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """Read prompts of any lengths at once."""
        ids_BT = padded(prompts)
        B, T = ids_BT.shape
        self.lengths = torch.tensor([len(prompt) for prompt in prompts])
        self.caches = self.language_model.model.caches(B, self.num_places)
        positions_BT = torch.arange(T).expand(B, T)
        hidden_BTD = self._forward(ids_BT, positions_BT, starts=None, num_seen=T)
        return self._logits(hidden_BTD[torch.arange(B), self.lengths - 1])

    def read_tokens(self, tokens: Sequence[int]) -> Tensor:
        """Read one more token per row."""
        starts_B = self.lengths
        self.lengths = starts_B + 1
        hidden_BTD = self._forward(
            torch.tensor(tokens)[:, None],
            starts_B[:, None],
            starts=starts_B,
            num_seen=int(self.lengths.max()),
        )
        return self._logits(hidden_BTD[:, 0])

    def keep(self, rows: list[int]) -> None:
        """Drop all rows but these."""
        self.lengths = self.lengths[rows]
        for layer in self.caches:
            layer.keep(rows)

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
        return self.language_model.model.head(hidden_BD).float()


def padded(rows: Sequence[Sequence[int]]) -> Tensor:
    """Rows of ids as one (B, T) tensor, padded at the right with id 0."""
    width = max(map(len, rows))
    return torch.tensor([[*row, *[0] * (width - len(row))] for row in rows], dtype=torch.int64)

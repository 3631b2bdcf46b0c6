"""How models of transformers are read for scores and for generation.

Decisions: rows to score are padded at the right, where a causal model cannot see; prompts are padded at the left
and kept in the cache that transformers makes, as its own generation does it; logits of the whole vocabulary are
those of the model itself, whatever it does between activations and logits.

Shapes: B rows, T tokens, S places that were read, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from codex_core.errors import CapabilityMissing
from codex_models.reading import padded

#: Numbers of logits at once: 64 million float32 are 256 MB.
_LOGITS_AT_ONCE = 64_000_000


@torch.no_grad()
def scores(inner: Any, rows: Sequence[Sequence[int]], *, vocab_size: int) -> Iterator[list[float]]:
    """Natural-log probabilities, `len(row) - 1` per row, for rows of at least two tokens."""
    longest = max(map(len, rows))
    at_once = max(1, _LOGITS_AT_ONCE // (longest * vocab_size))
    for start in range(0, len(rows), at_once):
        yield from _scores_of(inner, rows[start : start + at_once])


def _scores_of(inner: Any, rows: Sequence[Sequence[int]]) -> Iterator[list[float]]:
    device = next(inner.parameters()).device
    lengths = torch.tensor([len(row) for row in rows], device=device)
    ids_BT = padded(rows).to(device)
    places_BT = torch.arange(ids_BT.shape[1], device=device).expand_as(ids_BT)
    logits_BTV = inner(
        input_ids=ids_BT,
        attention_mask=(places_BT < lengths[:, None]).long(),
        position_ids=places_BT,
        use_cache=False,
    ).logits
    for row_TV, ids_T, length in zip(logits_BTV, ids_BT, lengths.tolist(), strict=True):
        values_TV = row_TV[: length - 1].to(torch.promote_types(row_TV.dtype, torch.float32)).log_softmax(-1)
        yield values_TV.gather(-1, ids_T[1:length, None])[:, 0].tolist()


class HfReading:
    """Rows on their way through a model of transformers; see `codex_models.reading.Reading`."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.device = next(inner.parameters()).device

    @torch.no_grad()
    def read_prompts(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """Read prompts of any lengths at once."""
        width = max(map(len, prompts))
        ids_BT = torch.tensor([[*[0] * (width - len(row)), *row] for row in prompts], device=self.device)
        real_BT = [[0] * (width - len(row)) + [1] * len(row) for row in prompts]
        self.real_BS = torch.tensor(real_BT, device=self.device)
        self.cache: Any = None
        return self._read(ids_BT)

    @torch.no_grad()
    def read_tokens(self, tokens: Sequence[int]) -> Tensor:
        """Read one more token per row."""
        self.real_BS = torch.cat([self.real_BS, self.real_BS.new_ones(len(tokens), 1)], dim=1)
        return self._read(torch.tensor(tokens, device=self.device)[:, None])

    def keep(self, rows: list[int]) -> None:
        """Drop all rows but these."""
        kept = torch.tensor(rows, dtype=torch.int64, device=self.device)
        self.real_BS = self.real_BS[kept]
        if rows:
            self.cache.batch_select_indices(kept)

    def _read(self, ids_BT: Tensor) -> Tensor:
        """Logits (B, V) after the last token of each row."""
        places_BS = (self.real_BS.cumsum(-1) - 1).clamp(min=0)
        was_training = self.inner.training
        self.inner.eval()
        try:
            found = self.inner(
                input_ids=ids_BT,
                attention_mask=self.real_BS,
                position_ids=places_BS[:, -ids_BT.shape[1] :],
                past_key_values=self.cache,
                use_cache=True,
            )
        finally:
            self.inner.train(was_training)
        self.cache = getattr(found, "past_key_values", None)
        if self.cache is None:
            raise CapabilityMissing(
                code="MOD-016",
                what=f"{type(self.inner).__name__} cannot continue prompts here",
                why="it keeps no keys and values of what it has read, as a recurrent model",
                fix="score with it: codex evaluate",
            )
        logits_BV: Tensor = found.logits[:, -1].float()
        return logits_BV

"""Keys and values of the tokens that generation has already read.

Decisions: room for all tokens is taken once; each row has its own length, and a place beyond it is overwritten
before it can be seen, so rows of different length share one batch without influencing each other.

Shapes: B rows, T new tokens, S places, H heads of queries, G of keys and values, K width of one head.
"""

from __future__ import annotations

import torch
from torch import Tensor

from codex_models.attention import attend_cached


class LayerCache:
    """One layer's keys and values, (B, G, S, K) each; `starts` says where each row's new tokens begin."""

    def __init__(self, shape: tuple[int, int, int, int], *, dtype: torch.dtype, device: torch.device) -> None:
        self.keys = torch.zeros(shape, dtype=dtype, device=device)
        self.values = torch.zeros(shape, dtype=dtype, device=device)
        self.starts: Tensor | None = None
        self.num_seen = 0

    def place(self, starts_B: Tensor | None, num_seen: int) -> None:
        """Write the next tokens at `starts_B` (None: at 0 in every row); attend to the first `num_seen` places."""
        self.starts, self.num_seen = starts_B, num_seen

    def attend(self, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        """Store new keys and values (B, G, T, K), attend with (B, H, T, K) queries; gives (B, T, H, K)."""
        if self.starts is None:
            num_new = keys.shape[2]
            self.keys[:, :, :num_new] = keys
            self.values[:, :, :num_new] = values
        else:
            device = self.starts.device
            rows_B1 = torch.arange(len(self.starts), device=device)[:, None]
            places_BT = self.starts[:, None] + torch.arange(keys.shape[2], device=device)
            self.keys[rows_B1, :, places_BT] = keys.transpose(1, 2)
            self.values[rows_B1, :, places_BT] = values.transpose(1, 2)
        seen = slice(None, self.num_seen)
        return attend_cached(queries, self.keys[:, :, seen], self.values[:, :, seen], mask)

    def keep(self, rows: list[int]) -> None:
        """Drop all rows but these."""
        self.keys, self.values = self.keys[rows], self.values[rows]

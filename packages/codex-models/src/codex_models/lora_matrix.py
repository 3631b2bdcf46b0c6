"""A matrix of a decoder, frozen, with the updates of the projections that it holds.

Decisions: the frozen matrix is kept in the dtype of the run's arithmetic, so bf16 halves what the base takes; the
gain of an RMSNorm is worked into it once; a bias that is trained is a parameter of its own, so what belongs to the
base never changes. LayerNorm keeps gain and shift apart, because an update reads what leaves the norm.

Shapes: D width in, E width out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codex_models.layers import Embedding, Linear, NormedLinear, unit_rms
from codex_models.lora_linear import LowRank, Rows
from codex_models.lora_names import Projection
from codex_models.lora_options import LoraOptions


class AdaptedMatrix(nn.Module):
    """Stands where `base` stood; `updated` are the projections with an update, `biased` those whose bias is trained."""

    def __init__(
        self,
        base: Linear | NormedLinear,
        held: Sequence[Projection],
        targets: Sequence[str],
        lora: LoraOptions,
    ) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.updated = tuple(one for one in held if one.target in targets)
        self.update: LowRank | None = None
        if self.updated:
            self.update = LowRank(
                base.weight.shape[1],
                rows=[one.rows for one in self.updated],
                rank=lora.r,
                scale=lora.scale,
                dropout=lora.dropout,
            )
        self.biased: tuple[Projection, ...] = ()
        self.bias: nn.Parameter | None = None
        if base.bias is not None and lora.bias != "none":
            self.biased = self.updated if lora.bias == "lora_only" else tuple(held)
            pieces = [base.bias[slice(*one.rows)] for one in self.biased]
            self.bias = nn.Parameter(torch.cat(pieces).clone()) if pieces else None
        if isinstance(base, NormedLinear) and base.shift is None:
            base.fold()

    def forward(self, x: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """(..., D) to (..., E) in `dtype`, that of `x` by default."""
        entering, gain_D = self._normed(x, dtype or x.dtype)
        bias_E = self._whole_bias()
        if self.update is not None:
            return self.update(entering, self.base.weight, bias_E, gain_D)
        bias_E = None if bias_E is None else bias_E.to(entering.dtype)
        return F.linear(entering, self.base.weight.to(entering.dtype), bias_E)

    def bias_parts(self, bias: Tensor) -> list[Tensor]:
        """The bias of each projection in `biased`: views of the trained ones, stacked."""
        return list(bias.split([one.rows[1] - one.rows[0] for one in self.biased]))

    @torch.no_grad()
    def merge_into(self, plain: Linear | NormedLinear) -> None:
        """Write the updates and trained biases into an unfolded matrix of the same base."""
        if self.update is not None:
            plain.weight.copy_(self.update.added_to(plain.weight))
        if self.bias is not None and plain.bias is not None:
            for one, piece in zip(self.biased, self.bias_parts(self.bias), strict=True):
                plain.bias[slice(*one.rows)] = piece

    def _normed(self, x: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
        """What enters the frozen matrix, and the gain that the matrix has absorbed and A has not."""
        base = self.base
        if isinstance(base, Linear):
            return x, None
        if base.shift is None:
            return unit_rms(x, base.eps, dtype), base.gain
        gain, shift = base.gain.to(x.dtype), base.shift.to(x.dtype)
        return F.layer_norm(x, x.shape[-1:], gain, shift, base.eps).to(dtype), None

    def _whole_bias(self) -> Tensor | None:
        frozen_E = self.base.bias
        if frozen_E is None or self.bias is None:
            return frozen_E
        trained = dict(zip((one.rows for one in self.biased), self.bias_parts(self.bias), strict=True))
        pieces = _covering(trained, len(frozen_E))
        return torch.cat([trained[rows] if rows in trained else frozen_E[slice(*rows)] for rows in pieces])


class HeldEmbedding(Embedding):
    """Rows of a frozen matrix by id, as float32 whatever dtype the matrix is kept in."""

    def __init__(self, base: Embedding) -> None:
        super().__init__(0, 0)
        self.weight = base.weight
        self.weight.requires_grad_(False)

    def forward(self, ids: Tensor) -> Tensor:
        """(...) to (..., D)."""
        return F.embedding(ids, self.weight).float()


def _covering(taken: Iterable[Rows], height: int) -> list[Rows]:
    """The given row ranges and those between them, in order, from 0 to `height`."""
    found: list[Rows] = []
    at = 0
    for start, end in sorted(taken):
        found += [(at, start)] if start > at else []
        found.append((start, end))
        at = end
    return found + ([(at, height)] if at < height else [])

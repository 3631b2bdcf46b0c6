"""The parts of a block whose plain form would pass over memory too often.

Decisions: RMSNorm divides activations by their root mean square, and its gain is multiplied into the matrix that
follows (the same function, one pass over the activations less in each direction); the gated product of SwiGLU
writes both gradients into one buffer; weights are cast to the dtype of the activations where they are used, so
fp32 masters train bf16 arithmetic without copies to keep in step.

Shapes: N tokens, D width in, E width out, F feed-forward width.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class _UnitRMS(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_ND: Tensor, eps: float, out_dtype: torch.dtype) -> Tensor:
        width = x_ND.shape[-1]
        sum_dtype = torch.promote_types(x_ND.dtype, torch.float32)
        norm_N1 = torch.linalg.vector_norm(x_ND, dim=-1, keepdim=True, dtype=sum_dtype)
        scale_N1 = (norm_N1.square().div_(width) + eps).rsqrt_()
        y_ND = torch.mul(x_ND, scale_N1.to(x_ND.dtype)).to(out_dtype)
        ctx.save_for_backward(y_ND, scale_N1)
        ctx.in_dtype = x_ND.dtype
        return y_ND

    @staticmethod
    def backward(ctx: Any, grad_ND: Tensor) -> tuple[Tensor, None, None]:
        y_ND, scale_N1 = ctx.saved_tensors
        along_N1 = (grad_ND * y_ND).sum(-1, keepdim=True, dtype=scale_N1.dtype).div_(y_ND.shape[-1])
        across_ND = torch.addcmul(grad_ND, y_ND, along_N1.to(y_ND.dtype), value=-1)
        return across_ND.to(ctx.in_dtype).mul_(scale_N1.to(ctx.in_dtype)), None, None


def unit_rms(x: Tensor, eps: float, dtype: torch.dtype | None = None) -> Tensor:
    """`x` divided by the root of its mean square (plus eps) over the last dimension."""
    return _UnitRMS.apply(x, eps, dtype or x.dtype)


class _GatedSilu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, pair: Tensor) -> Tensor:
        gate, up = pair.chunk(2, -1)
        opened = F.silu(gate)
        ctx.save_for_backward(pair, opened)
        return opened * up

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        pair, opened = ctx.saved_tensors
        gate, up = pair.chunk(2, -1)
        grad_pair = torch.empty_like(pair)
        grad_gate, grad_up = grad_pair.chunk(2, -1)
        torch.mul(opened, grad, out=grad_up)
        torch.ops.aten.silu_backward.grad_input(grad * up, gate, grad_input=grad_gate)
        return grad_pair


def gated_silu(pair: Tensor) -> Tensor:
    """SwiGLU's product: `silu(first half) * second half` of the last dimension."""
    return _GatedSilu.apply(pair)


class Embedding(nn.Module):
    """Rows of a matrix by id."""

    def __init__(self, num_rows: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_rows, width))

    def forward(self, ids: Tensor) -> Tensor:
        """(...) to (..., D)."""
        return F.embedding(ids, self.weight)


class Linear(nn.Module):
    """`x @ weight.T`, in the dtype of `x`."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width_out, width_in))

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) to (..., E)."""
        return F.linear(x, self.weight.to(x.dtype))


class NormedLinear(nn.Module):
    """RMSNorm followed by a matrix; `fold` merges the two for inference."""

    def __init__(self, width_in: int, width_out: int, *, eps: float) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width_in))
        self.weight = nn.Parameter(torch.empty(width_out, width_in))
        self.eps = eps
        self.folded = False

    def forward(self, x: Tensor, dtype: torch.dtype) -> Tensor:
        """(..., D) to (..., E) in `dtype`."""
        weight = self.weight if self.folded else self.weight * self.gain
        return F.linear(unit_rms(x, self.eps, dtype), weight.to(dtype))

    @torch.no_grad()
    def fold(self) -> None:
        """Multiply the gain into the matrix for good: the same function with less work per token."""
        self.weight.mul_(self.gain)
        self.folded = True


class Dropout(nn.Module):
    """Dropout whose mask depends on nothing but the generator it is given.

    The trainer hands over a generator seeded by step and micro-batch, so that a resumed run draws the same masks.
    One random byte decides on an entry, so the rate is rounded to 256ths: torch's own draw of single truth values
    takes 6.1 ms for a million entries on one core, this 2.0 ms.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.dropped_of_256 = round(256 * rate)
        self.generator: torch.Generator | None = None

    def forward(self, x: Tensor) -> Tensor:
        """`x` with a share of its entries zeroed and the others scaled up; `x` itself outside training."""
        if not self.training or self.dropped_of_256 == 0:
            return x
        assert self.generator is not None, "training with dropout needs a seeded generator"
        words = torch.empty(-(-x.numel() // 8), dtype=torch.int64, device=x.device)
        words.random_(-(2**63), None, generator=self.generator)
        chance = words.view(torch.uint8)[: x.numel()].view(x.shape)
        kept = (chance >= self.dropped_of_256).to(x.dtype)
        return x * kept.mul_(256 / (256 - self.dropped_of_256))

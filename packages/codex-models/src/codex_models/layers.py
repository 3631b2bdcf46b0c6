"""The parts of a block whose plain form would pass over memory too often.

Decisions: a norm divides activations by their root mean square (LayerNorm: after taking their mean away), and its
gain and shift are worked into the matrix that follows (the same function, one pass over the activations less in
each direction); the gated product of SwiGLU
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
    """`x @ weight.T`, plus a bias where there is one, in the dtype of `x`."""

    def __init__(self, width_in: int, width_out: int, *, has_bias: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width_out, width_in))
        self.bias = nn.Parameter(torch.zeros(width_out)) if has_bias else None

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) to (..., E)."""
        return F.linear(x, self.weight.to(x.dtype), None if self.bias is None else self.bias.to(x.dtype))


class Norm(nn.Module):
    """RMSNorm, or LayerNorm when it has a shift."""

    def __init__(self, width: int, *, eps: float, has_shift: bool = False) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width))
        self.shift = nn.Parameter(torch.zeros(width)) if has_shift else None
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) to (..., D), in the dtype of `x`."""
        if self.shift is None:
            return unit_rms(x, self.eps) * self.gain.to(x.dtype)
        return F.layer_norm(x, x.shape[-1:], self.gain.to(x.dtype), self.shift.to(x.dtype), self.eps)


class NormedLinear(nn.Module):
    """A norm followed by a matrix; `fold` merges the two for inference."""

    def __init__(
        self,
        width_in: int,
        width_out: int,
        *,
        eps: float,
        has_shift: bool = False,
        has_bias: bool = False,
    ) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width_in))
        self.shift = nn.Parameter(torch.zeros(width_in)) if has_shift else None
        self.weight = nn.Parameter(torch.empty(width_out, width_in))
        self.bias = nn.Parameter(torch.zeros(width_out)) if has_bias else None
        self.eps = eps
        self.folded = False

    def forward(self, x: Tensor, dtype: torch.dtype) -> Tensor:
        """(..., D) to (..., E) in `dtype`."""
        weight = self.weight if self.folded else self.weight * self.gain
        if self.shift is None:
            normed = unit_rms(x, self.eps, dtype)
        else:
            normed = F.layer_norm(x, x.shape[-1:], eps=self.eps).to(dtype)
        bias = self._whole_bias()
        return F.linear(normed, weight.to(dtype), None if bias is None else bias.to(dtype))

    def _whole_bias(self) -> Tensor | None:
        """The bias, with what the norm's shift adds after the matrix."""
        if self.shift is None or self.folded:
            return self.bias
        shifted = self.weight @ self.shift
        return shifted if self.bias is None else self.bias + shifted

    @torch.no_grad()
    def fold(self) -> None:
        """Work gain and shift into matrix and bias for good: the same function with less work per token."""
        bias = self._whole_bias()
        if bias is not None:
            self.bias = nn.Parameter(bias.detach().clone(), requires_grad=False)
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

"""A frozen matrix with a trained update of low rank beside it, as one step of the computation.

    y = x @ W.T + scale * (x @ A.T) @ B.T

Decisions: one autograd node per matrix, which adds the update into the product and never forms a gradient of W;
A and B are fp32 and cast where they are used; a matrix that holds several projections stacked by rows (queries, keys
and values; gate and up) gets one A with theirs stacked and one block-diagonal B, so that its update takes two
products however many projections it holds. A gain that the frozen matrix has absorbed is multiplied into A, so that
A means what it means to peft: it reads the normed activations *with* their gain.

Shapes: N tokens, D width in, E width out, r rank, P = r times the projections that are updated, T their rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codex_models.layers import Dropout

#: First row and row after the last of one projection in a stacked matrix.
Rows = tuple[int, int]


class _FrozenPlusUpdate(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x_ND: Tensor,
        dropped_ND: Tensor | None,
        weight_ED: Tensor,
        bias_E: Tensor | None,
        a_PD: Tensor,
        b_TR: Tensor,
        gain_D: Tensor | None,
        scale: float,
        rows: tuple[Rows, ...],
    ) -> Tensor:
        dtype = x_ND.dtype
        a = (a_PD if gain_D is None else a_PD * gain_D).to(dtype)
        b = _block_diagonal(b_TR.to(dtype), rows, height=len(weight_ED))
        entering = x_ND if dropped_ND is None else dropped_ND
        inner_NP = entering @ a.t()
        y_NE = F.linear(x_ND, weight_ED, None if bias_E is None else bias_E.to(dtype))
        y_NE.addmm_(inner_NP, b.t(), alpha=scale)
        ctx.save_for_backward(entering, weight_ED, a, b, inner_NP, gain_D)
        ctx.scale, ctx.rows, ctx.dropped = scale, rows, dropped_ND is not None
        ctx.dtypes = a_PD.dtype, b_TR.dtype, None if bias_E is None else bias_E.dtype
        return y_NE

    @staticmethod
    def backward(ctx: Any, grad_NE: Tensor) -> tuple[Any, ...]:
        entering, weight_ED, a, b, inner_NP, gain_D = ctx.saved_tensors
        a_dtype, b_dtype, bias_dtype = ctx.dtypes
        inner_grad_NP = (grad_NE @ b).mul_(ctx.scale)
        x_grad = dropped_grad = bias_grad = None
        if ctx.needs_input_grad[0]:
            x_grad = grad_NE @ weight_ED
            if not ctx.dropped:
                x_grad.addmm_(inner_grad_NP, a)
        if ctx.needs_input_grad[1]:
            dropped_grad = inner_grad_NP @ a
        if ctx.needs_input_grad[3]:
            bias_grad = grad_NE.sum(0, dtype=bias_dtype)
        a_grad = (inner_grad_NP.t() @ entering).to(a_dtype)
        if gain_D is not None:
            a_grad.mul_(gain_D)
        b_grad = _diagonal_blocks((grad_NE.t() @ inner_NP).mul_(ctx.scale), ctx.rows).to(b_dtype)
        return x_grad, dropped_grad, None, bias_grad, a_grad, b_grad, None, None, None


def _block_diagonal(b_TR: Tensor, rows: tuple[Rows, ...], *, height: int) -> Tensor:
    """(T, r) blocks, stacked by rows, as (E, P): each in its rows and in its own columns, zero elsewhere."""
    if rows == ((0, height),):
        return b_TR
    rank = b_TR.shape[1]
    wide = b_TR.new_zeros((height, rank * len(rows)))
    taken = 0
    for index, (start, end) in enumerate(rows):
        wide[start:end, index * rank : (index + 1) * rank] = b_TR[taken : taken + end - start]
        taken += end - start
    return wide


def _diagonal_blocks(wide_EP: Tensor, rows: tuple[Rows, ...]) -> Tensor:
    """The blocks of `_block_diagonal`, stacked by rows again: (T, r)."""
    if len(rows) == 1:
        return wide_EP[rows[0][0] : rows[0][1]]
    rank = wide_EP.shape[1] // len(rows)
    return torch.cat(
        [wide_EP[start:end, index * rank : (index + 1) * rank] for index, (start, end) in enumerate(rows)]
    )


class LowRank(nn.Module):
    """The update of one matrix: A (P, D) and B (T, r) for the projections that stand in `rows` of it."""

    def __init__(
        self, width_in: int, *, rows: Sequence[Rows], rank: int, scale: float, dropout: float
    ) -> None:
        super().__init__()
        self.rows = tuple(rows)
        self.rank = rank
        self.scale = scale
        height = sum(end - start for start, end in self.rows)
        self.a = nn.Parameter(torch.empty(rank * len(self.rows), width_in, dtype=torch.float32))
        self.b = nn.Parameter(torch.zeros(height, rank, dtype=torch.float32))
        self.dropout = Dropout(dropout)

    @torch.no_grad()
    def begin(self, generator: torch.Generator) -> None:
        """A as peft begins it, B zero: the updated matrix is the frozen one."""
        bound = 1.0 / math.sqrt(self.a.shape[1])  # what kaiming_uniform_ with a = sqrt(5) comes to
        self.a.uniform_(-bound, bound, generator=generator)
        self.b.zero_()

    def forward(self, x: Tensor, weight_ED: Tensor, bias_E: Tensor | None, gain_D: Tensor | None) -> Tensor:
        """(..., D) to (..., E): the frozen matrix and its update."""
        x_ND = x.reshape(-1, x.shape[-1])
        dropped = self.dropout(x_ND)
        y_NE = _FrozenPlusUpdate.apply(
            x_ND,
            None if dropped is x_ND else dropped,
            weight_ED.to(x.dtype),
            bias_E,
            self.a,
            self.b,
            gain_D,
            self.scale,
            self.rows,
        )
        return y_NE.view(*x.shape[:-1], -1)

    def parts(self, a_PD: Tensor, b_TR: Tensor) -> list[tuple[Tensor, Tensor]]:
        """A (r, D) and B (rows, r) of each projection, in the order of `rows`: views of stacked ones."""
        sizes = [end - start for start, end in self.rows]
        return list(zip(a_PD.split(self.rank), b_TR.split(sizes), strict=True))

    @torch.no_grad()
    def added_to(self, weight_ED: Tensor) -> Tensor:
        """The matrix with the update in it, computed in float64 and rounded once to its own dtype."""
        merged = weight_ED.double()
        for (start, end), (a_RD, b_TR) in zip(self.rows, self.parts(self.a, self.b), strict=True):
            merged[start:end] += self.scale * (b_TR.double() @ a_RD.double())
        return merged.to(weight_ED.dtype)

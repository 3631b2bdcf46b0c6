"""Cross-entropy over supervised tokens, without a second copy of the logits.

Decisions: only supervised tokens reach the output matrix; probabilities overwrite nothing and are kept in the
dtype of the activations, in chunks that stay in cache; both gradients are finished in the forward pass, so the
logits of a micro-batch are gone before the backward pass begins; under a frozen output matrix they never exist
as a whole. The value is a sum: whoever calls divides by the number of supervised tokens of the whole step.

Shapes: N supervised tokens, D width, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

#: Rows of logits at once: 256 x 4096 values of bf16 are 2 MB.
_CHUNK_ROWS = 256


class SummedCrossEntropy(torch.autograd.Function):
    """Sum over tokens of -log p(target), in nats, from (N, D) activations and the (V, D) output matrix."""

    @staticmethod
    def forward(ctx: Any, hidden_ND: Tensor, weight_VD: Tensor, targets_N: Tensor) -> Tensor:
        """Losses, and both gradients of their sum."""
        weight = weight_VD.to(hidden_ND.dtype)
        errors_NV = torch.empty((len(hidden_ND), len(weight)), dtype=hidden_ND.dtype, device=hidden_ND.device)
        total = torch.zeros(
            (), dtype=torch.promote_types(hidden_ND.dtype, torch.float32), device=hidden_ND.device
        )
        for start in range(0, len(hidden_ND), _CHUNK_ROWS):
            chunk = slice(start, start + _CHUNK_ROWS)
            total += _probabilities_and_loss(hidden_ND[chunk], weight, targets_N[chunk], out=errors_NV[chunk])
        rows = torch.arange(len(errors_NV), device=errors_NV.device)
        errors_NV[rows, targets_N] -= 1.0
        ctx.save_for_backward(errors_NV @ weight, (errors_NV.t() @ hidden_ND).to(weight_VD.dtype))
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        """Scale what the forward pass prepared."""
        grad_hidden, grad_weight = ctx.saved_tensors
        return grad_hidden * grad, grad_weight * grad, None


class FrozenHeadCrossEntropy(torch.autograd.Function):
    """As above under an output matrix that is not trained: no more than a chunk of logits is there at once."""

    @staticmethod
    def forward(ctx: Any, hidden_ND: Tensor, weight_VD: Tensor, targets_N: Tensor) -> Tensor:
        """Losses, and the gradient of their sum by the activations."""
        weight = weight_VD.to(hidden_ND.dtype)
        grad_ND = torch.empty_like(hidden_ND)
        sum_dtype = torch.promote_types(hidden_ND.dtype, torch.float32)
        total = torch.zeros((), dtype=sum_dtype, device=hidden_ND.device)
        num_rows = min(_CHUNK_ROWS, len(hidden_ND))
        errors_CV = torch.empty((num_rows, len(weight)), dtype=hidden_ND.dtype, device=hidden_ND.device)
        rows_C = torch.arange(num_rows, device=hidden_ND.device)
        for start in range(0, len(hidden_ND), _CHUNK_ROWS):
            chunk = slice(start, start + _CHUNK_ROWS)
            hidden, targets = hidden_ND[chunk], targets_N[chunk]
            errors = errors_CV[: len(hidden)]
            total += _probabilities_and_loss(hidden, weight, targets, out=errors)
            errors[rows_C[: len(hidden)], targets] -= 1.0
            torch.mm(errors, weight, out=grad_ND[chunk])
        ctx.save_for_backward(grad_ND)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        """Scale what the forward pass prepared."""
        (grad_ND,) = ctx.saved_tensors
        return grad_ND * grad, None, None


def _probabilities_and_loss(hidden: Tensor, weight: Tensor, targets: Tensor, *, out: Tensor) -> Tensor:
    logits = F.linear(hidden, weight)
    torch.softmax(logits, -1, out=out)
    # log p(target) through the most likely token, whose probability cannot underflow.
    best = out.amax(-1).to(torch.promote_types(out.dtype, torch.float32))
    gap = logits.amax(-1).to(best.dtype) - logits.gather(1, targets[:, None])[:, 0].to(best.dtype)
    return (gap - best.log()).sum()


def supervised_cross_entropy(
    hidden_BTD: Tensor, weight_VD: Tensor, targets_BT: Tensor, mask_BT: Tensor
) -> Tensor:
    """Sum of losses in nats over the tokens that `mask_BT` marks."""
    places = mask_BT.flatten().nonzero()[:, 0]
    hidden_ND = hidden_BTD.flatten(0, 1)
    targets_N = targets_BT.flatten()
    if len(places) < len(hidden_ND):
        hidden_ND, targets_N = hidden_ND.index_select(0, places), targets_N.index_select(0, places)
    summed = SummedCrossEntropy if weight_VD.requires_grad else FrozenHeadCrossEntropy
    return summed.apply(hidden_ND, weight_VD, targets_N)


@torch.no_grad()
def log_probabilities(hidden_ND: Tensor, weight_VD: Tensor, targets_N: Tensor) -> Tensor:
    """log p(target) of each token, (N,), in float32 or better."""
    weight = weight_VD.to(hidden_ND.dtype)
    dtype = torch.promote_types(hidden_ND.dtype, torch.float32)
    found = torch.empty(len(hidden_ND), dtype=dtype, device=hidden_ND.device)
    for start in range(0, len(hidden_ND), _CHUNK_ROWS):
        chunk = slice(start, start + _CHUNK_ROWS)
        logits = F.linear(hidden_ND[chunk], weight).to(dtype)
        found[chunk] = logits.log_softmax(-1).gather(1, targets_N[chunk, None])[:, 0]
    return found

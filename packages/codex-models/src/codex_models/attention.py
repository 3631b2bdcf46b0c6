"""Causal attention among the tokens of one document piece.

Decisions: on a CPU attention is plain batched matrix products over blocks of queries, with the probabilities kept
for the backward pass: at training lengths that is several times faster than the fused kernel. Other devices use
torch's own kernel. Rotation writes queries, keys and values into the layout that the products want, once.
Masked places have probability exactly zero, so nothing of one document reaches another, not even by rounding.

Shapes: B rows, T tokens (queries), S tokens (keys), H heads, K width of one head.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

#: Queries per block; 64 to 256 are within 10 % of each other at rows of 256 and 512 tokens.
QUERY_BLOCK = 128


def rotary_tables(
    positions_BT: Tensor, *, head_width: int, theta: float, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Cosines and sines of the rotation angles, (B, 1, T, K/2) each; computed in float64, rounded once."""
    device = positions_BT.device
    exponents_K = torch.arange(0, head_width, 2, device=device, dtype=torch.float64) / head_width
    places_P = torch.arange(int(positions_BT.max()) + 1, device=device, dtype=torch.float64)
    angles_PK = torch.outer(places_P, theta**-exponents_K)
    return angles_PK.cos().to(dtype)[positions_BT][:, None], angles_PK.sin().to(dtype)[positions_BT][:, None]


def visibility(document_ids_BT: Tensor, dtype: torch.dtype) -> Tensor:
    """What is added to scores, (B, 1, T, T): 0 for earlier tokens of the same piece and oneself, else -inf."""
    ids_BT = document_ids_BT.int()
    same_BTT = ids_BT[:, :, None] == ids_BT[:, None, :]
    hidden_BTT = ~same_BTT.tril_()
    return torch.zeros(same_BTT.shape, dtype=dtype, device=ids_BT.device).masked_fill_(
        hidden_BTT, -torch.inf
    )[:, None]


class RotateHeads(torch.autograd.Function):
    """(B, T, 3, H, K) projections to (3, B, H, T, K) queries, keys, values; queries and keys rotated by position."""

    @staticmethod
    def forward(ctx: Any, qkv_BT3HK: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Rotate pairs (i, i + K/2); one pass that also transposes."""
        ctx.save_for_backward(cos, sin)
        heads = qkv_BT3HK.permute(2, 0, 3, 1, 4)
        out = torch.empty(heads.shape, dtype=heads.dtype, device=heads.device)
        _rotate(heads[:2], cos, sin, out=out[:2])
        out[2].copy_(heads[2])
        return out

    @staticmethod
    def backward(ctx: Any, grad_3BHTK: Tensor) -> tuple[Tensor, None, None]:
        """Rotate back and transpose back."""
        cos, sin = ctx.saved_tensors
        _, B, H, T, K = grad_3BHTK.shape
        grad_BT3HK = torch.empty((B, T, 3, H, K), dtype=grad_3BHTK.dtype, device=grad_3BHTK.device)
        heads = grad_BT3HK.permute(2, 0, 3, 1, 4)
        _rotate(grad_3BHTK[:2], cos, -sin, out=heads[:2])
        heads[2].copy_(grad_3BHTK[2])
        return grad_BT3HK, None, None


def _rotate(x: Tensor, cos: Tensor, sin: Tensor, *, out: Tensor) -> None:
    half = x.shape[-1] // 2
    first, second = x[..., :half], x[..., half:]
    torch.mul(first, cos, out=out[..., :half]).addcmul_(second, sin, value=-1)
    torch.mul(second, cos, out=out[..., half:]).addcmul_(first, sin)


class BlockedAttention(torch.autograd.Function):
    """Attention of (3, B, H, T, K) heads under an additive mask (B, 1, T, T); gives (B, T, H, K)."""

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, mask: Tensor) -> Tensor:
        """Queries block by block; keys beyond a block's last query are never touched."""
        _, B, H, T, K = qkv.shape
        q, k, v = (heads.reshape(B * H, T, K) for heads in qkv)
        out = torch.empty((B, T, H, K), dtype=qkv.dtype, device=qkv.device)
        scaled = q * K**-0.5
        probabilities = []
        for start in range(0, T, QUERY_BLOCK):
            end = min(start + QUERY_BLOCK, T)
            scores = torch.bmm(scaled[:, start:end], k[:, :end].transpose(1, 2))
            scores.view(B, H, end - start, end).add_(mask[:, :, start:end, :end])
            p = torch.softmax(scores, -1)
            out[:, start:end] = torch.bmm(p, v[:, :end]).view(B, H, end - start, K).transpose(1, 2)
            probabilities.append(p)
        ctx.save_for_backward(qkv, scaled, *probabilities)
        return out

    @staticmethod
    def backward(ctx: Any, grad_BTHK: Tensor) -> tuple[Tensor, None]:
        """The same blocks once more; gradients of keys and values add up over them."""
        qkv, scaled, *probabilities = ctx.saved_tensors
        _, B, H, T, K = qkv.shape
        k, v = (heads.reshape(B * H, T, K) for heads in qkv[1:])
        grad = grad_BTHK.transpose(1, 2).reshape(B * H, T, K)
        total = torch.empty((3, B * H, T, K), dtype=qkv.dtype, device=qkv.device)
        # The last block of queries sees every key: it writes the sums over queries, the earlier ones add to them.
        for index in reversed(range(len(probabilities))):
            start = index * QUERY_BLOCK
            end = min(start + QUERY_BLOCK, T)
            p, do = probabilities[index], grad[:, start:end]
            dp = torch.bmm(do, v[:, :end].transpose(1, 2))
            ds = torch.ops.aten._softmax_backward_data(dp, p, -1, p.dtype)
            torch.mul(torch.bmm(ds, k[:, :end]), K**-0.5, out=total[0, :, start:end])
            if end == T:
                torch.bmm(ds.transpose(1, 2), scaled[:, start:end], out=total[1])
                torch.bmm(p.transpose(1, 2), do, out=total[2])
            else:
                total[1, :, :end].baddbmm_(ds.transpose(1, 2), scaled[:, start:end])
                total[2, :, :end].baddbmm_(p.transpose(1, 2), do)
        return total.view(3, B, H, T, K), None


def attend(qkv: Tensor, mask: Tensor) -> Tensor:
    """Attention of rotated heads (3, B, H, T, K) under `mask` (B, 1, T, T); gives (B, T, H, K)."""
    if qkv.device.type == "cpu":
        return BlockedAttention.apply(qkv, mask)
    return F.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2], attn_mask=mask).transpose(1, 2)


def attend_cached(q_BHTK: Tensor, k_BHSK: Tensor, v_BHSK: Tensor, mask: Tensor) -> Tensor:
    """Attention of new queries to cached keys under `mask` (B, 1, T, S); gives (B, T, H, K). No gradients."""
    scores = torch.matmul(q_BHTK * q_BHTK.shape[-1] ** -0.5, k_BHSK.transpose(2, 3)) + mask
    return torch.matmul(torch.softmax(scores, -1), v_BHSK).transpose(1, 2)

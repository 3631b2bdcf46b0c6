"""Causal attention among the tokens of one document piece.

Decisions: on a CPU attention is plain batched matrix products over blocks of queries, with the probabilities kept
for the backward pass: at training lengths that is several times faster than the fused kernel. Other devices use
torch's own kernel. Rotation writes queries, keys and values into the layout that the products want, once.
Masked places have probability exactly zero, so nothing of one document reaches another, not even by rounding.

Shapes: B rows, T tokens (queries), S tokens (keys), H heads of queries, G of keys and values, K width of one head,
N = H + 2G.
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
    """(B, T, N, K) projections to (3, B, H, T, K) queries, keys, values; queries and keys rotated by position.

    The N = H + 2G projections are H of queries, G of keys, G of values; each key and value serves H / G queries.
    Without tables (None) nothing is rotated.
    """

    @staticmethod
    def forward(
        ctx: Any, heads_BTNK: Tensor, num_queries: int, cos: Tensor | None, sin: Tensor | None
    ) -> Tensor:
        """Rotate pairs (i, i + K/2); one pass that also transposes and repeats."""
        ctx.save_for_backward(cos, sin)
        B, T, N, K = heads_BTNK.shape
        ctx.num_queries, ctx.num_keys = num_queries, (N - num_queries) // 2
        out = torch.empty((3, B, num_queries, T, K), dtype=heads_BTNK.dtype, device=heads_BTNK.device)
        q, k, v = _by_kind(heads_BTNK, num_queries)
        first_keys, first_values = (
            _first_of_group(out[1], ctx.num_keys),
            _first_of_group(out[2], ctx.num_keys),
        )
        _rotate_or_copy(q, cos, sin, out=out[0])
        _rotate_or_copy(k, cos, sin, out=first_keys)
        first_values.copy_(v)
        if ctx.num_keys < num_queries:
            for kind in (out[1], out[2]):
                grouped = kind.view(B, ctx.num_keys, -1, T, K)
                grouped[:, :, 1:] = grouped[:, :, :1]
        return out

    @staticmethod
    def backward(ctx: Any, grad_3BHTK: Tensor) -> tuple[Tensor, None, None, None]:
        """Rotate back and transpose back; gradients of a shared key or value add up."""
        cos, sin = ctx.saved_tensors
        _, B, H, T, K = grad_3BHTK.shape
        grad_BTNK = torch.empty(
            (B, T, H + 2 * ctx.num_keys, K), dtype=grad_3BHTK.dtype, device=grad_3BHTK.device
        )
        q, k, v = _by_kind(grad_BTNK, ctx.num_queries)
        back = None if sin is None else -sin
        keys, values = grad_3BHTK[1], grad_3BHTK[2]
        if ctx.num_keys < H:
            keys, values = (kind.reshape(B, ctx.num_keys, -1, T, K).sum(2) for kind in (keys, values))
        _rotate_or_copy(grad_3BHTK[0], cos, back, out=q)
        _rotate_or_copy(keys, cos, back, out=k)
        v.copy_(values)
        return grad_BTNK, None, None, None


def rotated(
    heads_BTNK: Tensor, num_queries: int, tables: tuple[Tensor, Tensor] | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Queries (B, H, T, K), keys and values (B, G, T, K) for a cache: rotated, not repeated. No gradients."""
    q, k, v = _by_kind(heads_BTNK, num_queries)
    if tables is None:
        return q, k, v
    turned_q, turned_k = torch.empty_like(q), torch.empty_like(k)
    _rotate(q, *tables, out=turned_q)
    _rotate(k, *tables, out=turned_k)
    return turned_q, turned_k, v


def _by_kind(heads_BTNK: Tensor, num_queries: int) -> tuple[Tensor, Tensor, Tensor]:
    """Views (B, H, T, K), (B, G, T, K), (B, G, T, K) of queries, keys and values."""
    heads_BNTK = heads_BTNK.transpose(1, 2)
    num_keys = (heads_BNTK.shape[1] - num_queries) // 2
    q, k, v = heads_BNTK.split([num_queries, num_keys, num_keys], dim=1)
    return q, k, v


def _first_of_group(kind_BHTK: Tensor, num_groups: int) -> Tensor:
    """A view (B, G, T, K) of the first head of each group."""
    return kind_BHTK[:, :: kind_BHTK.shape[1] // num_groups]


def _rotate_or_copy(x: Tensor, cos: Tensor | None, sin: Tensor | None, *, out: Tensor) -> None:
    if cos is None or sin is None:
        out.copy_(x)
    else:
        _rotate(x, cos, sin, out=out)


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


def attend_cached(q_BHTK: Tensor, k_BGSK: Tensor, v_BGSK: Tensor, mask: Tensor) -> Tensor:
    """Attention of new queries to cached keys under `mask` (B, 1, T, S); gives (B, T, H, K). No gradients."""
    B, H, T, K = q_BHTK.shape
    G, S = k_BGSK.shape[1:3]
    q_BGRK = (q_BHTK * K**-0.5).reshape(B, G, H // G * T, K)
    scores = torch.matmul(q_BGRK, k_BGSK.transpose(2, 3)).view(B, H, T, S) + mask
    p_BGRS = torch.softmax(scores, -1).view(B, G, H // G * T, S)
    return torch.matmul(p_BGRS, v_BGSK).view(B, H, T, K).transpose(1, 2)


def cached_visibility(
    starts_B: Tensor,
    *,
    num_new: int,
    num_places: int,
    dtype: torch.dtype,
    num_padding_B: Tensor | None = None,
) -> Tensor:
    """What is added to scores, (B, 1, T, S), when row b's new tokens stand at `starts_B[b]` and after.

    A token sees the places up to its own, but for the first `num_padding_B[b]` (padding at the left). A padding
    token sees itself, so that no row of probabilities is empty.
    """
    device = starts_B.device
    own_BT = starts_B[:, None] + torch.arange(num_new, device=device)
    places_S = torch.arange(num_places, device=device)
    hidden_BTS = places_S > own_BT[:, :, None]
    if num_padding_B is not None:
        hidden_BTS |= (places_S < num_padding_B[:, None, None]) & (places_S != own_BT[:, :, None])
    return torch.zeros(hidden_BTS.shape, dtype=dtype, device=device).masked_fill_(hidden_BTS, -torch.inf)[
        :, None
    ]

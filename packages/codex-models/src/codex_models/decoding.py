"""Reading one token per row with as little as possible around the matrix products.

A model that was opened for inference is read anew into plain tensors: a token of a small model costs a hundred
small operations, so what binds is their number, not the arithmetic.

Decisions: rows of a batch are padded at the left, so that all write to the same place of the cache and what is
seen is a slice; heads have the two halves of each rotated pair side by side, so that rotation is one complex
product; keys stand transposed. On a CPU small matrices are held in float32 whatever the model's dtype: a product
of one row with 768 x 256 bfloat16 entries takes 31 us, with float32 8 us; larger bfloat16 matrices are packed for
the processor, 8192 x 256 then take 82 us instead of 163 (2 cores of a Xeon with AMX, torch 2.13). Activations are
float32.

Shapes: B rows, T tokens, S places of the cache, D width, E output width, H heads of queries, G of keys and values,
K width of one head, P = B x G, R = H / G, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from codex_models.attention import cached_visibility

if TYPE_CHECKING:
    from codex_models.decoder import Block, Decoder
    from codex_models.options import DecoderOptions

#: Entries up to which a matrix is multiplied in float32 on a CPU.
SMALL_MATRIX = 1 << 20

#: What a place that may not be seen adds to a score; its probability is exactly zero.
_UNSEEN = -torch.inf


class Matrix:
    """`x @ weight.T` plus bias for a few rows of float32 activations; the result is float32."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self.bias = None if bias is None else bias.float()
        self.weight = weight
        self.product = self._product(weight)

    def __call__(self, x_BD: Tensor) -> Tensor:
        """(B, D) to (B, E)."""
        out_BE = self.product(x_BD)
        return out_BE if self.bias is None else out_BE.add_(self.bias)

    def _product(self, weight: Tensor) -> Callable[[Tensor], Tensor]:
        """The quickest way to multiply with this matrix."""
        is_cpu = weight.device.type == "cpu"
        if weight.dtype == torch.float32 or (is_cpu and weight.numel() <= SMALL_MATRIX):
            held = weight.float()
            # The longer side lies together; 2 cores, 8 rows: 11 us instead of 16, and 15 instead of 24.
            return partial(_times, held.t().contiguous() if len(held) >= held.shape[1] else held.t())
        if is_cpu and weight.dtype == torch.bfloat16 and torch.backends.mkldnn.is_available():
            return partial(_packed, torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), 1))
        return partial(_in_dtype_of, weight)


def _times(turned_DE: Tensor, x_BD: Tensor) -> Tensor:
    return torch.mm(x_BD, turned_DE)


def _packed(packed_ED: Tensor, x_BD: Tensor) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(x_BD.bfloat16(), packed_ED, None, "none", [], "").float()


def _in_dtype_of(weight_ED: Tensor, x_BD: Tensor) -> Tensor:
    return F.linear(x_BD.to(weight_ED.dtype), weight_ED).float()


class _Layer(NamedTuple):
    """One block's matrices, with the gains of its norms worked in; what rotates has its pairs side by side."""

    attention_in: Matrix
    attention_out: Matrix
    ffn_in: Matrix
    ffn_out: Matrix
    query_gain: Tensor | None
    key_gain: Tensor | None


class Weights:
    """A folded decoder's parameters, as `DecoderReading` uses them; made once per opened model."""

    def __init__(self, model: Decoder) -> None:
        self.options = model.options
        self.embedding = model.embedding.weight
        self.places = None if model.places is None else model.places.weight
        self.layers = [_layer(cast("Block", block)) for block in model.blocks]  # torch types them as modules
        self.norm_gain = model.norm_gain.float()
        self.norm_shift = None if model.norm_shift is None else model.norm_shift.float()
        self.head = Matrix(model.head.weight, None)
        self.eps = torch.tensor(model.options.norm_eps, device=self.embedding.device)
        self.embedding_scale = math.sqrt(model.options.width) if model.options.scale_embeddings else 1.0

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self.embedding.device


class DecoderReading:
    """Rows on their way: their cache, and how many places of it are filled.

    `read_prompts` once, then `read_tokens` again and again; both give float32 logits (B, V) of the next token.
    """

    def __init__(self, weights: Weights, *, num_places: int) -> None:
        self.weights = weights
        self.num_places = num_places
        self.num_filled = 0
        self.padding_B: Tensor | None = None
        self.unseen_B1S: Tensor | None = None
        self.keys: list[Tensor] = []
        self.values: list[Tensor] = []
        self.turns = _turns(weights, num_places)

    @torch.inference_mode()
    def read_prompts(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """Read prompts of any lengths at once."""
        weights, options = self.weights, self.weights.options
        device, width = weights.device, max(map(len, prompts))
        padding = [width - len(prompt) for prompt in prompts]
        rows = [[0] * pad + list(prompt) for pad, prompt in zip(padding, prompts, strict=True)]
        ids_BT = torch.tensor(rows, device=device)
        B, T = ids_BT.shape
        G, S, K = options.num_kv_heads, self.num_places, options.head_width
        self.keys = [torch.zeros(B, G, K, S, device=device) for _ in weights.layers]
        self.values = [torch.zeros(B, G, S, K, device=device) for _ in weights.layers]
        starts_B = torch.zeros(B, dtype=torch.int64, device=device)
        if any(padding):
            self.padding_B = torch.tensor(padding, device=device)
            places_S = torch.arange(self.num_places, device=device)
            self.unseen_B1S = torch.zeros(B, 1, self.num_places, device=device).masked_fill_(
                (places_S < self.padding_B[:, None])[:, None], _UNSEEN
            )
        mask = cached_visibility(
            starts_B, num_new=T, num_places=T, dtype=torch.float32, num_padding_B=self.padding_B
        )
        positions_BT = torch.arange(T, device=device).expand(B, T)
        if self.padding_B is not None:
            positions_BT = (positions_BT - self.padding_B[:, None]).clamp_(min=0)
        x_BTD = self._embedded(ids_BT, positions_BT)
        for index, layer in enumerate(weights.layers):
            x_BTD = self._read_block(index, layer, x_BTD, positions_BT, mask)
        self.num_filled = T
        return self._logits(x_BTD[:, -1])

    @torch.inference_mode()
    def read_tokens(self, tokens: Sequence[int]) -> Tensor:
        """Read one more token per row."""
        weights, place = self.weights, self.num_filled
        ids_B = torch.tensor(tokens, device=weights.device)
        rotation = positions_B = None
        if self.padding_B is not None:
            positions_B = place - self.padding_B
        elif weights.places is not None:
            positions_B = torch.full_like(ids_B, place)
        if self.turns is not None:
            rotation = self.turns[place] if positions_B is None else self.turns[positions_B][:, None]
        x_BD = self._embedded(ids_B, positions_B)
        self.num_filled = place + 1
        for index, layer in enumerate(weights.layers):
            self._read_step(index, layer, x_BD, rotation)
        return self._logits(x_BD)

    def keep(self, rows: list[int]) -> None:
        """Drop all rows but these."""
        self.keys = [keys[rows] for keys in self.keys]
        self.values = [values[rows] for values in self.values]
        if self.padding_B is not None and self.unseen_B1S is not None:
            self.padding_B, self.unseen_B1S = self.padding_B[rows], self.unseen_B1S[rows]

    def _read_step(self, index: int, layer: _Layer, x_BD: Tensor, rotation: Tensor | None) -> None:
        """One token per row through one block; `x_BD` is added to in place."""
        options, place = self.weights.options, self.num_filled - 1
        B, G, H, K = len(x_BD), options.num_kv_heads, options.heads, options.head_width
        heads_BNK = layer.attention_in(self._unit(x_BD)).view(B, -1, K)
        turned = _normed_heads(layer, heads_BNK[:, : H + G], H, self.weights.eps)
        if rotation is not None:
            torch.view_as_complex(turned.view(B, H + G, K // 2, 2)).mul_(rotation)
        keys, values = self.keys[index], self.values[index]
        keys[:, :, :, place] = turned[:, H:]
        values[:, :, place] = heads_BNK[:, H + G :]
        seen_PRK = self._attended(turned[:, :H].reshape(B * G, H // G, K), keys, values)
        x_BD.add_(layer.attention_out(seen_PRK.view(B, H * K)))
        x_BD.add_(layer.ffn_out(self._activated(layer.ffn_in(self._unit(x_BD)))))

    def _attended(self, q_PRK: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Attention of one token per row to the filled places."""
        S, filled = self.num_places, self.num_filled
        k_PKS, v_PSK = keys.view(len(q_PRK), -1, S), values.view(len(q_PRK), S, -1)
        scores_PRS = torch.bmm(q_PRK, k_PKS[:, :, :filled])
        if self.unseen_B1S is not None:
            B = len(self.unseen_B1S)
            scores_PRS.view(B, -1, filled).add_(self.unseen_B1S[:, :, :filled])
        return torch.bmm(torch.softmax(scores_PRS, -1), v_PSK[:, :filled])

    def _read_block(
        self, index: int, layer: _Layer, x_BTD: Tensor, positions_BT: Tensor, mask: Tensor
    ) -> Tensor:
        """All prompts through one block."""
        options = self.weights.options
        B, T, D = x_BTD.shape
        G, H, K = options.num_kv_heads, options.heads, options.head_width
        heads_TNK = layer.attention_in(self._unit(x_BTD).flatten(0, 1)).view(B * T, -1, K)
        turned = _normed_heads(layer, heads_TNK[:, : H + G], H, self.weights.eps).contiguous()
        if self.turns is not None:
            pairs = torch.view_as_complex(turned.unflatten(2, (-1, 2)))
            pairs.mul_(self.turns[positions_BT.flatten()][:, None])
        q, k = turned.view(B, T, H + G, K).transpose(1, 2).split([H, G], dim=1)
        v = heads_TNK[:, H + G :].view(B, T, G, K).transpose(1, 2)
        self.keys[index][:, :, :, :T] = k.transpose(2, 3)
        self.values[index][:, :, :T] = v
        # Queries carry the scale already.
        seen_BHTK = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=1.0, enable_gqa=G < H)
        x_BTD = x_BTD + layer.attention_out(seen_BHTK.transpose(1, 2).reshape(B * T, H * K)).view(B, T, D)
        inner = self._activated(layer.ffn_in(self._unit(x_BTD).flatten(0, 1)))
        return x_BTD + layer.ffn_out(inner).view(B, T, D)

    def _embedded(self, ids: Tensor, positions: Tensor | None) -> Tensor:
        weights = self.weights
        x = F.embedding(ids, weights.embedding).float()
        if weights.embedding_scale != 1.0:
            x.mul_(weights.embedding_scale)
        if weights.places is None or positions is None:
            return x
        return x.add_(F.embedding(positions, weights.places))

    def _unit(self, x: Tensor) -> Tensor:
        """`x` normed, without gain."""
        options = self.weights.options
        if options.norm == "layer":
            return F.layer_norm(x, x.shape[-1:], eps=options.norm_eps)
        return _unit_rms(x, self.weights.eps)

    def _activated(self, inner: Tensor) -> Tensor:
        options = self.weights.options
        if options.is_gated:
            gate, up = inner.chunk(2, -1)
            return F.silu(gate).mul_(up)
        return F.gelu(inner, approximate="tanh" if options.activation == "gelu_tanh" else "none")

    def _logits(self, x_BD: Tensor) -> Tensor:
        weights = self.weights
        normed_BD = self._unit(x_BD) * weights.norm_gain
        if weights.norm_shift is not None:
            normed_BD += weights.norm_shift
        return weights.head(normed_BD)


def _layer(block: Block) -> _Layer:
    """A block's parameters; its norms must have been folded into its matrices."""
    assert block.attention_in.folded and block.ffn_in.folded, "decode a model that was opened for inference"
    options, weight, bias = block.options, block.attention_in.weight, block.attention_in.bias
    H, K = options.heads, options.head_width
    scale = K**-0.5  # of scores: worked into queries, or into the gain of their norm
    has_norm = block.query_norm is not None
    order_E = _side_by_side(options, weight.device)
    rows_E1 = torch.ones(len(weight), 1, device=weight.device)
    if not has_norm:
        rows_E1[: H * K] = scale
    turned = (weight.float() * rows_E1).to(weight.dtype)[order_E]
    shift = None if bias is None else (bias.float() * rows_E1[:, 0])[order_E]
    pair_K = order_E[:K]
    query_gain = None if block.query_norm is None else block.query_norm.gain.float()[pair_K] * scale
    key_gain = None if block.key_norm is None else block.key_norm.gain.float()[pair_K]
    return _Layer(
        attention_in=Matrix(turned, shift),
        attention_out=Matrix(block.attention_out.weight, block.attention_out.bias),
        ffn_in=Matrix(block.ffn_in.weight, block.ffn_in.bias),
        ffn_out=Matrix(block.ffn_out.weight, block.ffn_out.bias),
        query_gain=query_gain,
        key_gain=key_gain,
    )


def _side_by_side(options: DecoderOptions, device: torch.device) -> Tensor:
    """The order of the rows of queries, keys and values in which rotated pairs (i, i + K/2) are neighbours."""
    K, num_turned = options.head_width, options.heads + options.num_kv_heads
    pairs_K = torch.arange(K, device=device).view(2, K // 2).t().flatten()
    starts_N1 = torch.arange(num_turned, device=device)[:, None] * K
    values = torch.arange(num_turned * K, options.attention_rows, device=device)
    return torch.cat([(starts_N1 + pairs_K).flatten(), values])


def _normed_heads(layer: _Layer, turned: Tensor, num_queries: int, eps: Tensor) -> Tensor:
    """Queries and keys (.., H + G, K), normed where the model does so."""
    if layer.query_gain is None or layer.key_gain is None:
        return turned
    q, k = turned[:, :num_queries], turned[:, num_queries:]
    return torch.cat([_unit_rms(q, eps).mul_(layer.query_gain), _unit_rms(k, eps).mul_(layer.key_gain)], 1)


def _unit_rms(x: Tensor, eps: Tensor) -> Tensor:
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    # One operation for eps + length^2 / width: each scalar of an operator of its own costs 3 us.
    return torch.addcmul(eps, length, length, value=1 / x.shape[-1]).rsqrt_().mul(x)


def _turns(weights: Weights, num_places: int) -> Tensor | None:
    """Complex numbers (S, K/2) by which the pairs of a head at a place are multiplied; None without rotation."""
    options = weights.options
    if options.positions != "rope":
        return None
    exponents_K = torch.arange(0, options.head_width, 2, dtype=torch.float64) / options.head_width
    angles_SK = torch.outer(torch.arange(num_places, dtype=torch.float64), options.rope_theta**-exponents_K)
    return torch.polar(torch.ones_like(angles_SK), angles_SK).to(torch.complex64).to(weights.device)

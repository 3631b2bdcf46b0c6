"""Reading one token per row with as little as possible around the matrix products.

A model that was opened for inference is read anew into plain tensors: a token of a small model costs a hundred
small operations, so what binds is their number, not the arithmetic.

Decisions: rows of a batch are padded at the left, so that all write to the same place of the cache and what is
seen is a slice; on a CPU matrices stand transposed, and small ones are held in float32 whatever the model's dtype:
a product of one row with 768 x 256 bfloat16 entries takes 31 us, with float32 8 us (2 cores, torch 2.13); a large
bfloat16 matrix is multiplied as it is, because there reading it is what takes time. Activations are float32.

Shapes: B rows, T tokens, S places of the cache, D width, H heads of queries, G of keys and values, R = H / G,
K width of one head, N = H + 2G, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from codex_models.attention import cached_visibility

if TYPE_CHECKING:
    from codex_models.decoder import Block, Decoder

#: Entries up to which a matrix is multiplied in float32 on a CPU.
SMALL_MATRIX = 1 << 20

#: What a place that may not be seen adds to a score; its probability is exactly zero.
_UNSEEN = -torch.inf


class Matrix:
    """`x @ weight.T` plus bias for a few rows of float32 activations; the result is float32."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        is_cpu = weight.device.type == "cpu"
        self.is_float = weight.dtype == torch.float32 or (is_cpu and weight.numel() <= SMALL_MATRIX)
        self.weight = weight
        self.turned = weight.t().float().contiguous() if self.is_float else weight.t()
        self.bias = None if bias is None else bias.float()

    def __call__(self, x_BD: Tensor) -> Tensor:
        """(B, D) to (B, E)."""
        if self.is_float:
            out_BE = torch.mm(x_BD, self.turned)
        elif len(x_BD) == 1:
            out_BE = torch.mv(self.weight, x_BD[0].to(self.weight.dtype)).float()[None]
        else:
            out_BE = torch.mm(x_BD.to(self.weight.dtype), self.turned).float()
        return out_BE if self.bias is None else out_BE.add_(self.bias)


class _Layer(NamedTuple):
    """One block's matrices, with the gains of its norms worked in, and its part of the cache, (B, G, S, K)."""

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
        self.layers = [_layer(block) for block in model.blocks]
        self.norm_gain = model.norm_gain.float()
        self.norm_shift = None if model.norm_shift is None else model.norm_shift.float()
        self.head = Matrix(model.head.weight, None)
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
        self.tables = _rotations(weights, num_places)

    @torch.inference_mode()
    def read_prompts(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """Read prompts of any lengths at once."""
        weights, options = self.weights, self.weights.options
        device, width = weights.device, max(map(len, prompts))
        padding = [width - len(prompt) for prompt in prompts]
        rows = [[0] * pad + list(prompt) for pad, prompt in zip(padding, prompts, strict=True)]
        ids_BT = torch.tensor(rows, device=device)
        B, T = ids_BT.shape
        shape = (B, options.num_kv_heads, self.num_places, options.head_width)
        self.keys = [torch.zeros(shape, device=device) for _ in weights.layers]
        self.values = [torch.zeros(shape, device=device) for _ in weights.layers]
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
        cos = sin = positions_B = None
        if self.padding_B is not None:
            positions_B = place - self.padding_B
        if self.tables is not None:
            cos, sin = (
                table[place] if positions_B is None else table[positions_B][:, None] for table in self.tables
            )
        x_BD = self._embedded(ids_B, torch.full_like(ids_B, place) if positions_B is None else positions_B)
        self.num_filled = place + 1
        for index, layer in enumerate(weights.layers):
            self._read_step(index, layer, x_BD, cos, sin)
        return self._logits(x_BD)

    def keep(self, rows: list[int]) -> None:
        """Drop all rows but these."""
        self.keys = [keys[rows] for keys in self.keys]
        self.values = [values[rows] for values in self.values]
        if self.padding_B is not None and self.unseen_B1S is not None:
            self.padding_B, self.unseen_B1S = self.padding_B[rows], self.unseen_B1S[rows]

    def _read_step(
        self, index: int, layer: _Layer, x_BD: Tensor, cos: Tensor | None, sin: Tensor | None
    ) -> None:
        """One token per row through one block; `x_BD` is added to in place."""
        options, place = self.weights.options, self.num_filled - 1
        B, G, H, K = len(x_BD), options.num_kv_heads, options.heads, options.head_width
        heads_BNK = layer.attention_in(self._unit(x_BD)).view(B, -1, K)
        turned = heads_BNK[:, : H + G]
        if layer.query_gain is not None and layer.key_gain is not None:
            turned = torch.cat(
                [
                    _unit_rms(turned[:, :H], options.norm_eps).mul_(layer.query_gain),
                    _unit_rms(turned[:, H:], options.norm_eps).mul_(layer.key_gain),
                ],
                1,
            )
        if cos is not None and sin is not None:
            swapped = turned.roll(K // 2, -1)
            turned.mul_(cos).addcmul_(swapped, sin)
        keys, values = self.keys[index], self.values[index]
        keys[:, :, place] = turned[:, H:]
        values[:, :, place] = heads_BNK[:, H + G :]
        seen_BK = self._attended(turned[:, :H].reshape(B * G, H // G, K), keys, values)
        x_BD.add_(layer.attention_out(seen_BK.view(B, H * K)))
        x_BD.add_(layer.ffn_out(self._activated(layer.ffn_in(self._unit(x_BD)))))

    def _attended(self, q_PRK: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Attention of one token per row; P = B x G."""
        S, filled = self.num_places, self.num_filled
        k_PSK, v_PSK = keys.view(-1, S, keys.shape[-1]), values.view(-1, S, keys.shape[-1])
        scores_PRS = torch.bmm(q_PRK, k_PSK[:, :filled].transpose(1, 2)).mul_(q_PRK.shape[-1] ** -0.5)
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
        heads_BNTK = layer.attention_in(self._unit(x_BTD).flatten(0, 1)).view(B, T, -1, K).transpose(1, 2)
        q, k, v = heads_BNTK.split([H, G, G], dim=1)
        if layer.query_gain is not None and layer.key_gain is not None:
            q = _unit_rms(q, options.norm_eps).mul_(layer.query_gain)
            k = _unit_rms(k, options.norm_eps).mul_(layer.key_gain)
        if self.tables is not None:
            cos, sin = (table[positions_BT][:, None] for table in self.tables)
            q = q * cos + q.roll(K // 2, -1) * sin
            k = k * cos + k.roll(K // 2, -1) * sin
        self.keys[index][:, :, :T], self.values[index][:, :, :T] = k, v
        seen_BHTK = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=G < H)
        x_BTD = x_BTD + layer.attention_out(seen_BHTK.transpose(1, 2).reshape(B * T, H * K)).view(B, T, D)
        inner = self._activated(layer.ffn_in(self._unit(x_BTD).flatten(0, 1)))
        return x_BTD + layer.ffn_out(inner).view(B, T, D)

    def _embedded(self, ids: Tensor, positions: Tensor) -> Tensor:
        weights = self.weights
        x = F.embedding(ids, weights.embedding).float()
        if weights.embedding_scale != 1.0:
            x.mul_(weights.embedding_scale)
        return x if weights.places is None else x.add_(F.embedding(positions, weights.places))

    def _unit(self, x: Tensor) -> Tensor:
        """`x` normed, without gain."""
        options = self.weights.options
        if options.norm == "layer":
            return F.layer_norm(x, x.shape[-1:], eps=options.norm_eps)
        return _unit_rms(x, options.norm_eps)

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
    gains = [None if norm is None else norm.gain.float() for norm in (block.query_norm, block.key_norm)]
    matrices = (block.attention_in, block.attention_out, block.ffn_in, block.ffn_out)
    return _Layer(*(Matrix(linear.weight, linear.bias) for linear in matrices), *gains)


def _unit_rms(x: Tensor, eps: float) -> Tensor:
    scale = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return x * scale.square_().div_(x.shape[-1]).add_(eps).rsqrt_()


def _rotations(weights: Weights, num_places: int) -> tuple[Tensor, Tensor] | None:
    """Tables (S, K): `x * cos + roll(x, K/2) * sin` rotates the pairs (i, i + K/2)."""
    options = weights.options
    if options.positions != "rope":
        return None
    exponents_K = torch.arange(0, options.head_width, 2, dtype=torch.float64) / options.head_width
    angles_SK = torch.outer(torch.arange(num_places, dtype=torch.float64), options.rope_theta**-exponents_K)
    cos, sin = angles_SK.cos().float(), angles_SK.sin().float()
    return (
        torch.cat([cos, cos], -1).to(weights.device),
        torch.cat([-sin, sin], -1).to(weights.device),
    )

"""The decoder-only Transformer, and the two doors through which models enter: `build` and `open`.

Decisions: pre-norm blocks; RMSNorm, rotary positions, SwiGLU and no biases unless the options say otherwise, up to
what the layouts of Llama, Qwen and GPT-2 need; parameters are fp32 while training,
whatever the arithmetic (`compute_dtype`); a model is a pure function of its options, vocabulary size and seed.

Shapes: B rows, T tokens, D width, H heads of queries, N heads of queries, keys and values, K width of one head,
V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import attrs
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codex_models.attention import RotateHeads, attend, rotary_tables, rotated, visibility
from codex_models.cache import LayerCache
from codex_models.decoding import Weights
from codex_models.initial_weights import Held, look_into, require_same_shape
from codex_models.layers import Dropout, Embedding, Linear, Norm, NormedLinear, gated_silu, unit_rms
from codex_models.live import TorchLanguageModel
from codex_models.modules import WriteFile
from codex_models.options import DecoderOptions
from codex_models.precision import device_for, inference_dtype
from codex_models.recompute import recomputed
from codex_models.state import (
    DESCRIPTION,
    TENSORS,
    description_writer,
    load_tensors,
    model_fingerprint,
    named_tensors,
    read_description,
    tensor_writer,
)

INIT_STD = 0.02

Rotation = tuple[Tensor, Tensor]


class Block(nn.Module):
    """Attention and feed-forward layer, each added to what passes by."""

    def __init__(self, options: DecoderOptions) -> None:
        super().__init__()
        width, eps, all_biases = options.width, options.norm_eps, options.biases == "all"
        has_shift = options.norm == "layer"
        self.options = options
        self.attention_in = NormedLinear(
            width, options.attention_rows, eps=eps, has_shift=has_shift, has_bias=options.biases != "none"
        )
        self.query_norm = Norm(options.head_width, eps=eps) if options.qk_norm else None
        self.key_norm = Norm(options.head_width, eps=eps) if options.qk_norm else None
        self.attention_out = Linear(options.heads * options.head_width, width, has_bias=all_biases)
        self.ffn_in = NormedLinear(width, options.ffn_rows, eps=eps, has_shift=has_shift, has_bias=all_biases)
        self.ffn_out = Linear(options.inner_width, width, has_bias=all_biases)
        self.dropout = Dropout(options.dropout)

    def forward(
        self, x_BTD: Tensor, rotation: Rotation | None, mask: Tensor, cache: LayerCache | None
    ) -> Tensor:
        """(B, T, D) to (B, T, D); `mask` is (B, 1, T, T), or (B, 1, T, S) with a cache of S places."""
        heads_BTNK = self._heads(x_BTD)
        if cache is None:
            cos, sin = rotation or (None, None)
            seen_BTHK = attend(RotateHeads.apply(heads_BTNK, self.options.heads, cos, sin), mask)
        else:
            seen_BTHK = cache.attend(*rotated(heads_BTNK, self.options.heads, rotation), mask)
        x_BTD = x_BTD + self.dropout(self.attention_out(seen_BTHK.flatten(2)))
        return x_BTD + self.dropout(self.ffn_out(self._activated(self.ffn_in(x_BTD, x_BTD.dtype))))

    def _heads(self, x_BTD: Tensor) -> Tensor:
        """Queries, keys and values of all heads, (B, T, N, K)."""
        heads_BTNK = self.attention_in(x_BTD, x_BTD.dtype).unflatten(2, (-1, self.options.head_width))
        if self.query_norm is None or self.key_norm is None:
            return heads_BTNK
        sizes = [self.options.heads, self.options.num_kv_heads, self.options.num_kv_heads]
        q, k, v = heads_BTNK.split(sizes, dim=2)
        return torch.cat([self.query_norm(q), self.key_norm(k), v], dim=2)

    def _activated(self, inner: Tensor) -> Tensor:
        """What enters the last matrix of the feed-forward layer."""
        if self.options.is_gated:
            return gated_silu(inner)
        return F.gelu(inner, approximate="tanh" if self.options.activation == "gelu_tanh" else "none")


class Decoder(nn.Module):
    """A decoder-only Transformer; `head(hidden(ids, positions, document_ids))` are its logits.

    `context_length` is None until it is known: given in the options, or set by the trainer to the length of its
    rows. `compute_dtype` is the dtype of activations; `checkpoint_blocks` trades time for memory in training.
    """

    def __init__(self, options: DecoderOptions, *, vocab_size: int) -> None:
        super().__init__()
        self.options = options
        self.vocab_size = vocab_size
        self.context_length = options.context_length
        self.compute_dtype = torch.get_default_dtype()
        self.checkpoint_blocks = False
        self.embedding = Embedding(vocab_size, options.width)
        self.places = _places(options)
        self.dropout = Dropout(options.dropout)
        self.blocks = nn.ModuleList(Block(options) for _ in range(options.layers))
        self.norm_gain = nn.Parameter(torch.ones(options.width))
        self.norm_shift = nn.Parameter(torch.zeros(options.width)) if options.norm == "layer" else None
        self.head = Linear(options.width, vocab_size)
        if options.tied_embeddings:
            self.head.weight = self.embedding.weight

    @classmethod
    def build(cls, options: DecoderOptions, *, vocab_size: int, seed: int) -> Decoder:
        """A decoder with fresh parameters, or with those of `options.weights`; equal arguments give equal ones.

        Raises `ConfigError` or `InputError` when the folder holds no model, or one of another shape.
        """
        if options.weights is not None:
            return cls._begun(options, look_into(Path(options.weights)), vocab_size=vocab_size)
        model = cls(options, vocab_size=vocab_size)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if parameter.dim() > 1:
                    parameter.normal_(std=_init_std(name, options), generator=generator)
        return model

    @classmethod
    def _begun(cls, options: DecoderOptions, held: Held, *, vocab_size: int) -> Decoder:
        """A decoder with a folder's parameters; it has the folder's vocabulary, which may be the larger one."""
        require_same_shape(options, held, vocab_size=vocab_size)
        model = cls(options, vocab_size=held.vocab_size)
        own = named_tensors(model)
        found = held.tensors({name: tensor.shape for name, tensor in own.items()})
        with torch.no_grad():
            for name, tensor in own.items():
                tensor.copy_(found[name])
        return model

    @classmethod
    def from_folder(cls, folder: Path) -> Decoder:
        """The decoder that a checkpoint, a model folder or a Hugging Face directory holds, in float32."""
        held = look_into(folder)
        model = cls._begun(attrs.evolve(held.options, weights=None), held, vocab_size=held.vocab_size)
        model.context_length = held.context_length
        return model

    @classmethod
    def open(cls, path: Path, *, device: str = "cpu", dtype: str | None = None) -> TorchLanguageModel:
        """Open a checkpoint's `model/` folder for scoring and generation, in float32 unless asked otherwise.

        Raises `ArtefactError` for missing, extra or misshapen tensors and `CapabilityMissing` for a device that
        this machine does not have.
        """
        place, compute = device_for(device), inference_dtype(dtype)
        description = read_description(path)
        model = cls(description.options, vocab_size=description.vocab_size)
        model.context_length = description.context_length
        load_tensors(model, path / TENSORS)
        fingerprint = model_fingerprint(model)
        model.prepare_for_inference(compute)
        model.to(place)
        return TorchLanguageModel(model, fingerprint=fingerprint, weights=partial(Weights, model))

    def hidden(
        self,
        ids_BT: Tensor,
        positions_BT: Tensor,
        document_ids_BT: Tensor,
        *,
        caches: Sequence[LayerCache] | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Normed activations (B, T, D) before `head`.

        A token sees itself and earlier tokens of its row with the same document id. With `caches` (generation)
        `mask` (B, 1, T, S) says which of the S cached places are seen, instead.
        """
        options, dtype = self.options, self.compute_dtype
        rotation = None
        if options.positions == "rope":
            rotation = rotary_tables(
                positions_BT, head_width=options.head_width, theta=options.rope_theta, dtype=dtype
            )
        if mask is None:
            mask = visibility(document_ids_BT, dtype)
        x_BTD = self._embedded(ids_BT, positions_BT)
        noise = self.dropout.generator
        recompute = self.checkpoint_blocks and caches is None and torch.is_grad_enabled()
        for index, block in enumerate(self.blocks):
            run = partial(
                block, rotation=rotation, mask=mask, cache=None if caches is None else caches[index]
            )
            x_BTD = recomputed(run, x_BTD, noise=noise) if recompute else run(x_BTD)
        return self._normed(x_BTD)

    def _embedded(self, ids_BT: Tensor, positions_BT: Tensor) -> Tensor:
        scale = math.sqrt(self.options.width) if self.options.scale_embeddings else 1.0
        x_BTD = self.embedding(ids_BT) * scale
        if self.places is not None:
            x_BTD = x_BTD + self.places(positions_BT)
        embedded: Tensor = self.dropout(x_BTD.to(self.compute_dtype))
        return embedded

    def _normed(self, x_BTD: Tensor) -> Tensor:
        gain, eps = self.norm_gain.to(x_BTD.dtype), self.options.norm_eps
        if self.norm_shift is None:
            return unit_rms(x_BTD, eps) * gain
        return F.layer_norm(x_BTD, x_BTD.shape[-1:], gain, self.norm_shift.to(x_BTD.dtype), eps)

    def hidden_matrices(self) -> dict[str, int]:
        """Names of the matrices inside blocks, and how many matrices each of them holds, stacked by rows."""
        heads, kv_heads = self.options.heads, self.options.num_kv_heads
        # Queries of grouped heads are cut into matrices of the size that keys and values have.
        stacked = {
            "attention_in.weight": heads // kv_heads + 2,
            "ffn_in.weight": 2 if self.options.is_gated else 1,
        }
        names = [name for name, parameter in self.blocks.named_parameters("blocks") if parameter.dim() > 1]
        return {name: stacked.get(name.split(".", 2)[2], 1) for name in names}

    def trainable(self) -> dict[str, nn.Parameter]:
        """Parameters that require gradients, by name, tied ones once."""
        return {name: value for name, value in self.named_parameters() if value.requires_grad}

    def payload(self, tensors: Mapping[str, Tensor]) -> dict[str, WriteFile]:
        """The files of a model folder; `open` and `restore` read them."""
        return {
            TENSORS: tensor_writer(lambda: tensors),
            DESCRIPTION: description_writer(self),
        }

    def restore(self, folder: Path) -> None:
        """Copy a model folder's tensors into the parameters; raises `ArtefactError` when they do not fit."""
        load_tensors(self, folder / TENSORS)

    def language_model(self) -> TorchLanguageModel:
        """A live view for scoring and generation."""
        return TorchLanguageModel(self)

    def caches(self, num_rows: int, num_places: int) -> list[LayerCache]:
        """Empty room for the keys and values of `num_rows` rows of up to `num_places` tokens, per block."""
        shape = (num_rows, self.options.num_kv_heads, num_places, self.options.head_width)
        weight = self.head.weight
        return [LayerCache(shape, dtype=weight.dtype, device=weight.device) for _ in self.blocks]

    def set_noise(self, generator: torch.Generator | None) -> None:
        """Draw dropout masks from `generator` from now on."""
        for module in self.modules():
            if isinstance(module, Dropout):
                module.generator = generator

    def prepare_for_inference(self, dtype: torch.dtype) -> None:
        """Fold gains into matrices and cast everything to `dtype`; the model cannot be trained afterwards."""
        self.requires_grad_(False).eval()
        for module in self.modules():
            if isinstance(module, NormedLinear):
                module.fold()
        self.to(dtype)
        self.compute_dtype = dtype


def _places(options: DecoderOptions) -> Embedding | None:
    """The table of learned positions, where the options ask for one."""
    if options.positions != "learned":
        return None
    assert options.context_length is not None, "options refuse learned positions without a context length"
    return Embedding(options.context_length, options.width)


def _init_std(name: str, options: DecoderOptions) -> float:
    """Matrices that write to the residual stream start smaller, so that its size does not depend on depth."""
    writes_residual = name.endswith(("attention_out.weight", "ffn_out.weight"))
    return INIT_STD / math.sqrt(2 * options.layers) if writes_residual else INIT_STD

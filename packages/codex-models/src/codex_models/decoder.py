"""The decoder-only Transformer, and the two doors through which models enter: `build` and `open`.

Decisions: pre-norm blocks, RMSNorm, rotary positions, SwiGLU, no biases; parameters are fp32 while training,
whatever the arithmetic (`compute_dtype`); a model is a pure function of its options, vocabulary size and seed.

Shapes: B rows, T tokens, D width, H heads, K width of one head, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from codex_models.attention import RotateHeads, attend, rotary_tables, visibility
from codex_models.cache import LayerCache
from codex_models.layers import Dropout, Embedding, Linear, NormedLinear, gated_silu, unit_rms
from codex_models.live import TorchLanguageModel
from codex_models.modules import WriteFile
from codex_models.options import DecoderOptions
from codex_models.precision import device_for, inference_dtype
from codex_models.recompute import recomputed
from codex_models.state import (
    description_writer,
    load_tensors,
    model_fingerprint,
    read_description,
    tensor_writer,
)

INIT_STD = 0.02

Rotation = tuple[Tensor, Tensor]


class Block(nn.Module):
    """Attention and feed-forward layer, each added to what passes by."""

    def __init__(self, options: DecoderOptions) -> None:
        super().__init__()
        width, inner, eps = options.width, options.inner_width, options.norm_eps
        self.heads = options.heads
        self.attention_in = NormedLinear(width, 3 * width, eps=eps)
        self.attention_out = Linear(width, width)
        self.ffn_in = NormedLinear(width, 2 * inner, eps=eps)
        self.ffn_out = Linear(inner, width)
        self.dropout = Dropout(options.dropout)

    def forward(self, x_BTD: Tensor, rotation: Rotation, mask: Tensor, cache: LayerCache | None) -> Tensor:
        """(B, T, D) to (B, T, D); `mask` is (B, 1, T, T), or (B, 1, T, S) with a cache of S places."""
        B, T, D = x_BTD.shape
        qkv = self.attention_in(x_BTD, x_BTD.dtype).view(B, T, 3, self.heads, D // self.heads)
        heads_3BHTK = RotateHeads.apply(qkv, *rotation)
        seen_BTHK = attend(heads_3BHTK, mask) if cache is None else cache.attend(heads_3BHTK, mask)
        x_BTD = x_BTD + self.dropout(self.attention_out(seen_BTHK.reshape(B, T, D)))
        return x_BTD + self.dropout(self.ffn_out(gated_silu(self.ffn_in(x_BTD, x_BTD.dtype))))


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
        self.dropout = Dropout(options.dropout)
        self.blocks = nn.ModuleList(Block(options) for _ in range(options.layers))
        self.norm_gain = nn.Parameter(torch.ones(options.width))
        self.head = Linear(options.width, vocab_size)
        if options.tied_embeddings:
            self.head.weight = self.embedding.weight

    @classmethod
    def build(cls, options: DecoderOptions, *, vocab_size: int, seed: int) -> Decoder:
        """A freshly initialised decoder; equal arguments give equal parameters."""
        model = cls(options, vocab_size=vocab_size)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if parameter.dim() > 1:
                    parameter.normal_(std=_init_std(name, options), generator=generator)
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
        load_tensors(model, path / "model.safetensors")
        fingerprint = model_fingerprint(model)
        model.prepare_for_inference(compute)
        return TorchLanguageModel(model.to(place), fingerprint=fingerprint)

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
        rotation = rotary_tables(
            positions_BT, head_width=options.head_width, theta=options.rope_theta, dtype=dtype
        )
        if mask is None:
            mask = visibility(document_ids_BT, dtype)
        scale = math.sqrt(options.width) if options.scale_embeddings else 1.0
        x_BTD = self.dropout((self.embedding(ids_BT) * scale).to(dtype))
        noise = self.dropout.generator if options.dropout else None
        recompute = self.checkpoint_blocks and caches is None and torch.is_grad_enabled()
        for index, block in enumerate(self.blocks):
            run = partial(
                block, rotation=rotation, mask=mask, cache=None if caches is None else caches[index]
            )
            x_BTD = recomputed(run, x_BTD, noise=noise) if recompute else run(x_BTD)
        return unit_rms(x_BTD, options.norm_eps) * self.norm_gain.to(dtype)

    def hidden_matrices(self) -> dict[str, int]:
        """Names of the matrices inside blocks, and how many matrices each of them holds, stacked by rows."""
        stacked = {"attention_in.weight": 3, "ffn_in.weight": 2}
        names = [name for name, parameter in self.blocks.named_parameters("blocks") if parameter.dim() > 1]
        return {name: stacked.get(name.split(".", 2)[2], 1) for name in names}

    def trainable(self) -> dict[str, nn.Parameter]:
        """Parameters that require gradients, by name, tied ones once."""
        return {name: value for name, value in self.named_parameters() if value.requires_grad}

    def payload(self, tensors: Mapping[str, Tensor]) -> dict[str, WriteFile]:
        """The files of a model folder; `open` and `restore` read them."""
        return {
            "model.safetensors": tensor_writer(lambda: tensors),
            "model.json": description_writer(self),
        }

    def restore(self, folder: Path) -> None:
        """Copy a model folder's tensors into the parameters; raises `ArtefactError` when they do not fit."""
        load_tensors(self, folder / "model.safetensors")

    def language_model(self) -> TorchLanguageModel:
        """A live view for scoring and generation."""
        return TorchLanguageModel(self)

    def caches(self, num_rows: int, num_places: int) -> list[LayerCache]:
        """Empty room for the keys and values of `num_rows` rows of up to `num_places` tokens, per block."""
        shape = (num_rows, self.options.heads, num_places, self.options.head_width)
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


def _init_std(name: str, options: DecoderOptions) -> float:
    """Matrices that write to the residual stream start smaller, so that its size does not depend on depth."""
    writes_residual = name.endswith(("attention_out.weight", "ffn_out.weight"))
    return INIT_STD / math.sqrt(2 * options.layers) if writes_residual else INIT_STD

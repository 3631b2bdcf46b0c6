"""A decoder whose base is frozen and whose adapter is trained (LoRA).

Decisions: the base's matrices are kept in the dtype of the run's arithmetic, the adapter in fp32; a checkpoint holds
the adapter alone, in peft's format, and the digest of the base; an adapter that is opened for scoring or generation
is merged into its base in fp32, so it costs nothing there. What a training sees of its base in bf16 is the base
rounded to bf16, also when the model in training is evaluated; what is opened reads the base as it was saved.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import torch
from torch import Tensor, nn

from codex_core.errors import ConfigError
from codex_core.seeds import seed_for
from codex_models.cache import LayerCache
from codex_models.decoder import Decoder
from codex_models.decoding import Weights
from codex_models.layers import Dropout, Linear
from codex_models.live import TorchLanguageModel
from codex_models.lora_files import (
    BINDING,
    PEFT_CONFIG,
    PEFT_PREFIX,
    TENSORS,
    Binding,
    binding_text,
    digest_of_tensors,
    find_base,
    fingerprint_of,
    peft_config_text,
    read_adapter,
    refuse_adapter,
    require_base,
    text_writer,
)
from codex_models.lora_matrix import AdaptedMatrix, HeldEmbedding
from codex_models.lora_names import MATRICES, projections, target_names
from codex_models.lora_options import LoraOptions
from codex_models.modules import WriteFile
from codex_models.options import DecoderOptions
from codex_models.precision import device_for, inference_dtype
from codex_models.state import (
    DESCRIPTION,
    description_writer,
    model_fingerprint,
    read_description,
    require_same_shapes,
    tensor_writer,
)


class AdaptedDecoder(nn.Module):
    """A `TrainableModule`: the decoder that it is made of computes, with its matrices replaced by adapted ones."""

    def __init__(self, decoder: Decoder, lora: LoraOptions, *, binding: Binding) -> None:
        super().__init__()
        self.binding = binding
        self.lora = lora
        self.decoder = decoder.requires_grad_(False)
        self.targets = lora.targets_among(target_names(decoder.options))
        held = projections(decoder.options)
        for block in decoder.blocks:
            for name in MATRICES:
                setattr(block, name, AdaptedMatrix(getattr(block, name), held[name], self.targets, lora))
        decoder.embedding = HeldEmbedding(decoder.embedding)

    @classmethod
    def build(cls, options: DecoderOptions, *, vocab_size: int, seed: int) -> AdaptedDecoder:
        """The decoder of `options.weights` with a new adapter; equal arguments give equal parameters.

        Raises `ConfigError` when the weights are themselves an adapter.
        """
        assert options.lora is not None and options.weights is not None, "the options demand both"
        refuse_adapter(Path(options.weights), where="model.weights")
        decoder = Decoder.build(attrs.evolve(options, lora=None), vocab_size=vocab_size, seed=seed)
        decoder.options = options
        binding = Binding(base=model_fingerprint(decoder), weights=Path(options.weights).as_posix())
        model = cls(decoder, options.lora, binding=binding)
        generator = torch.Generator().manual_seed(seed_for(seed, "lora"))
        for matrix in model.matrices().values():
            if matrix.update is not None:
                matrix.update.begin(generator)
        return model

    def matrices(self) -> dict[str, AdaptedMatrix]:
        """The adapted matrices, by block and attribute."""
        return {
            f"blocks.{index}.{name}": getattr(block, name)
            for index, block in enumerate(self.decoder.blocks)
            for name in MATRICES
        }

    def hidden(self, ids: Tensor, positions: Tensor, document_ids: Tensor, **cached: Any) -> Tensor:
        """As the decoder's."""
        return self.decoder.hidden(ids, positions, document_ids, **cached)

    def trainable(self) -> dict[str, nn.Parameter]:
        """The adapter's parameters, and the biases that are trained with it."""
        return {name: value for name, value in self.decoder.named_parameters() if value.requires_grad}

    def hidden_matrices(self) -> dict[str, int]:
        """None: Muon wants whole matrices, and those are frozen."""
        raise ConfigError(
            code="MOD-034",
            what="Muon is for the matrices inside blocks, and with model.lora these are frozen",
            where="trainer.optimizer",
            fix="trainer.optimizer=adamw",
        )

    def payload(self, tensors: Mapping[str, Tensor]) -> dict[str, WriteFile]:
        """The adapter's files and the description of the model."""
        named = self.by_peft_name(tensors)
        transposed = not self.decoder.options.is_gated
        config = peft_config_text(
            self.lora, weights=self.binding.weights, targets=self.targets, transposed=transposed
        )
        return {
            TENSORS: tensor_writer(lambda: named),
            PEFT_CONFIG: text_writer(lambda: config),
            BINDING: text_writer(lambda: binding_text(self.binding, named)),
            DESCRIPTION: description_writer(self.decoder),
        }

    def restore(self, folder: Path) -> None:
        """Read an adapter's files into the parameters; raises `ArtefactError` for one of another base or shape."""
        adapter = read_adapter(folder)
        require_base(adapter.binding, self.binding.base, where=folder)
        expected = self.by_peft_name(named_tensors_of(self.trainable()))
        require_same_shapes(folder / TENSORS, adapter.tensors, expected)
        with torch.no_grad():
            for name, view in expected.items():
                view.copy_(adapter.tensors[name])

    def by_peft_name(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Views of `tensors`, which are named as `trainable()`, by the names that peft gives them."""
        found: dict[str, Tensor] = {}
        for place, matrix in self.matrices().items():
            number = place.split(".")[1]
            if matrix.update is not None:
                parts = matrix.update.parts(tensors[f"{place}.update.a"], tensors[f"{place}.update.b"])
                for one, (a_RD, b_ER) in zip(matrix.updated, parts, strict=True):
                    module = PEFT_PREFIX + one.module.format(number)
                    found |= {f"{module}.lora_A.weight": a_RD, f"{module}.lora_B.weight": b_ER}
            if matrix.bias is not None:
                pieces = matrix.bias_parts(tensors[f"{place}.bias"])
                for one, piece in zip(matrix.biased, pieces, strict=True):
                    inner = ".base_layer" if one in matrix.updated else ""
                    found[f"{PEFT_PREFIX}{one.module.format(number)}{inner}.bias"] = piece
        return found

    def merged_into(self, base: Decoder) -> Decoder:
        """`base`, an untouched decoder of the same tensors, with the adapter worked into its matrices."""
        for index, block in enumerate(base.blocks):
            for name in MATRICES:
                self.matrices()[f"blocks.{index}.{name}"].merge_into(getattr(block, name))
        return base

    def fingerprint(self) -> str:
        """`blake3:<hex>` over the base's digest and the adapter as it is now."""
        adapter = digest_of_tensors(self.by_peft_name(named_tensors_of(self.trainable())))
        return fingerprint_of(self.binding.base, adapter)

    def language_model(self) -> TorchLanguageModel:
        """A live view for scoring and generation."""
        return _LiveAdapted(self)

    def caches(self, num_rows: int, num_places: int) -> list[LayerCache]:
        """Empty room for keys and values in float32, whatever dtype the frozen matrices are kept in."""
        options, device = self.decoder.options, self.decoder.head.weight.device
        shape = (num_rows, options.num_kv_heads, num_places, options.head_width)
        return [LayerCache(shape, dtype=torch.float32, device=device) for _ in self.blocks]

    def set_noise(self, generator: torch.Generator | None) -> None:
        """Draw dropout masks, those on what enters updates included, from `generator` from now on."""
        for module in self.modules():
            if isinstance(module, Dropout):
                module.generator = generator

    @property
    def options(self) -> DecoderOptions:
        """The decoder's options, with those of the adapter."""
        return self.decoder.options

    @property
    def vocab_size(self) -> int:
        """Number of token ids."""
        return self.decoder.vocab_size

    @property
    def head(self) -> Linear:
        """The frozen output matrix."""
        return self.decoder.head

    @property
    def blocks(self) -> nn.ModuleList:
        """The blocks of the decoder, adapted."""
        return self.decoder.blocks

    @property
    def context_length(self) -> int | None:
        """Longest row in tokens."""
        return self.decoder.context_length

    @context_length.setter
    def context_length(self, value: int | None) -> None:
        self.decoder.context_length = value

    @property
    def checkpoint_blocks(self) -> bool:
        """Whether activations inside blocks are computed again in the backward pass."""
        return self.decoder.checkpoint_blocks

    @checkpoint_blocks.setter
    def checkpoint_blocks(self, value: bool) -> None:
        self.decoder.checkpoint_blocks = value

    @property
    def compute_dtype(self) -> torch.dtype:
        """The dtype of activations; setting it also casts the frozen matrices, for good."""
        return self.decoder.compute_dtype

    @compute_dtype.setter
    def compute_dtype(self, dtype: torch.dtype) -> None:
        self.decoder.compute_dtype = dtype
        for parameter in self.decoder.parameters():
            if not parameter.requires_grad and parameter.dim() > 1:
                parameter.data = parameter.data.to(dtype)


class _LiveAdapted(TorchLanguageModel):
    """A model in training, seen in the adapter's own precision over the base as it is held."""

    def __init__(self, adapted: AdaptedDecoder) -> None:
        super().__init__(adapted)
        self.adapted = adapted

    def fingerprint(self) -> str:
        """Over base and adapter, as they are now."""
        return self.adapted.fingerprint()

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Evaluation mode and float32 inside, the former state afterwards; the frozen matrices stay as they are."""
        decoder = self.adapted.decoder
        training, dtype = decoder.training, decoder.compute_dtype
        decoder.train(False)
        decoder.compute_dtype = torch.float32
        try:
            yield
        finally:
            decoder.train(training)
            decoder.compute_dtype = dtype


def open_adapter(folder: Path, *, base: Path | None) -> AdaptedDecoder:
    """The adapter in a checkpoint's `model/` folder over its base, in float32.

    Raises `InputError` when the base is not found and `ArtefactError` when it is another one.
    """
    description, binding = read_description(folder), read_adapter(folder).binding
    place = find_base(binding, folder, base=base)
    options = attrs.evolve(description.options, weights=str(place))
    model = AdaptedDecoder.build(options, vocab_size=description.vocab_size, seed=0)
    model.binding = attrs.evolve(model.binding, weights=binding.weights)
    model.context_length = description.context_length
    model.restore(folder)
    return model


def merged(model: AdaptedDecoder) -> Decoder:
    """A plain decoder that computes what base and adapter compute together, in float32."""
    options = attrs.evolve(model.options, lora=None)
    plain = model.merged_into(Decoder.build(options, vocab_size=model.vocab_size, seed=0))
    plain.options = attrs.evolve(options, weights=None)
    plain.context_length = model.context_length
    return plain


def open_merged(folder: Path, *, device: str, dtype: str | None, base: Path | None) -> TorchLanguageModel:
    """An adapter and its base as one model for scoring and generation, in float32 unless asked otherwise."""
    place, compute = device_for(device), inference_dtype(dtype)
    adapted = open_adapter(folder, base=base)
    model = merged(adapted)
    model.prepare_for_inference(compute)
    model.to(place)
    return TorchLanguageModel(model, fingerprint=adapted.fingerprint(), weights=partial(Weights, model))


def named_tensors_of(parameters: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    """The tensors of parameters by name, detached: views, so that writing to them writes to the parameters."""
    return {name: parameter.detach() for name, parameter in parameters.items()}

"""Any causal language model of a local Hugging Face directory, trained and used through transformers.

Decisions: documents of a packed row are kept apart by a mask that transformers applies; whether an architecture
keeps to that mask and to the positions it is given, and whether its output is nothing but activations times a
matrix, is tried once before a training and refused otherwise, never assumed; a checkpoint's `model/` folder is
again such a directory.

Shapes: R rows, L row length in tokens, D width, V vocabulary.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from codex_core.canonical import readable_json
from codex_core.errors import ArtefactError, CapabilityMissing, ConfigError
from codex_models import hf_directory
from codex_models.attention import visibility
from codex_models.hf_loading import load, stored_dtype
from codex_models.hf_options import HfCausalOptions
from codex_models.hf_reading import HfReading, scores
from codex_models.live import TorchLanguageModel
from codex_models.modules import OutputMatrix, WriteFile
from codex_models.precision import device_for, dtype_name, inference_dtype
from codex_models.state import read_tensors, require_same_shapes, tensor_writer

_GENERATION = "generation_config.json"

#: How far packed rows may be from rows alone, as a share of the largest logit; fp32 gives 1e-6.
_PROBE_TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-3}
_COARSE_TOLERANCE = 5e-2


class HfCausal(nn.Module):
    """A `TrainableModule` around a model of transformers; names of tensors are those of its directory."""

    def __init__(self, inner: Any, *, files: Mapping[str, bytes], context_length: int | None) -> None:
        super().__init__()
        self.inner = inner
        self.files = files
        self.context_length = context_length
        self.compute_dtype = stored_dtype(inner)
        self._checkpoints_blocks = False

    @classmethod
    def build(cls, options: HfCausalOptions, *, vocab_size: int, seed: int) -> HfCausal:
        """The model of `options.weights`, ready to train; nothing of it is left to chance, so `seed` changes nothing.

        Raises `InputError` for a directory that cannot be used, `ConfigError` for a tokenizer with more ids or a
        longer context than the model has, `CapabilityMissing` for an architecture that cannot be trained on packed
        rows.
        """
        folder = directory_of(Path(options.weights))
        dtype = None if options.dtype == "auto" else inference_dtype(options.dtype)
        model = cls.from_directory(folder, dtype=dtype)
        if model.vocab_size < vocab_size:
            raise ConfigError(
                code="MOD-015",
                what=f"the tokenizer has {vocab_size} ids and the model {model.vocab_size}",
                where=f"model.weights, {folder}",
                fix=f"take the tokenizer that belongs to the model: tokenizer={{name: hf, path: {folder}}}",
            )
        model._take_context(options.context_length)
        model._stay_within_window()
        model.require_packing()
        return model

    @classmethod
    def open(cls, path: Path, *, device: str = "cpu", dtype: str | None = None) -> TorchLanguageModel:
        """Open a directory for scoring and generation, in the type that its files have unless asked otherwise.

        Raises `ArtefactError` for a folder without a model, `InputError` for one that cannot be used and
        `CapabilityMissing` for a device that this machine does not have.
        """
        place = device_for(device)
        if not hf_directory.is_directory(path):
            raise ArtefactError(
                code="MOD-001",
                what="the model's description cannot be read",
                where=str(path / hf_directory.CONFIG),
                why="there is no such file",
                fix=f"codex model check {path}",
            )
        model = cls.from_directory(path, dtype=None if dtype is None else inference_dtype(dtype))
        model.requires_grad_(False)
        return model.to(place).language_model()

    @classmethod
    def from_directory(cls, folder: Path, *, dtype: torch.dtype | None) -> HfCausal:
        """The model of a directory; `dtype` None keeps the type that its files have."""
        inner = load(folder, dtype=dtype)
        held = {name: folder / name for name in (hf_directory.CONFIG, _GENERATION)}
        files = {name: path.read_bytes() for name, path in held.items() if path.is_file()}
        limit = getattr(inner.config.get_text_config(), "max_position_embeddings", None)
        return cls(inner, files=files, context_length=None if limit is None else int(limit))

    @property
    def vocab_size(self) -> int:
        """Number of token ids."""
        return len(self.head.weight)

    @property
    def head(self) -> OutputMatrix:
        """The output matrix."""
        found: OutputMatrix = self.inner.get_output_embeddings()
        return found

    @property
    def checkpoint_blocks(self) -> bool:
        """Whether blocks are computed again in the backward pass."""
        return self._checkpoints_blocks

    @checkpoint_blocks.setter
    def checkpoint_blocks(self, wanted: bool) -> None:
        if wanted and not self.inner.supports_gradient_checkpointing:
            raise CapabilityMissing(
                code="MOD-016",
                what=f"{self._architecture} cannot compute its blocks again in the backward pass",
                fix="trainer.checkpoint_blocks=false",
            )
        # Version 5 of transformers renamed the pair.
        name = "activation" if hasattr(self.inner, "activation_checkpointing_enable") else "gradient"
        if wanted:
            getattr(self.inner, f"{name}_checkpointing_enable")({"use_reentrant": False})
        elif self._checkpoints_blocks:
            getattr(self.inner, f"{name}_checkpointing_disable")()
        self._checkpoints_blocks = wanted

    def hidden(self, ids: Tensor, positions: Tensor, document_ids: Tensor) -> Tensor:
        """Activations (R, L, D) before `head`; a token sees itself and earlier tokens of its own document."""
        dtype, place = self.compute_dtype, ids.device.type
        mask = visibility(document_ids, dtype)
        with torch.autocast(place, dtype=dtype, enabled=dtype != stored_dtype(self.inner)):
            found = self.inner.base_model(
                input_ids=ids, position_ids=positions, attention_mask=mask, use_cache=False
            )
        hidden: Tensor = found.last_hidden_state.to(dtype)
        return hidden

    def set_noise(self, generator: torch.Generator | None) -> None:
        """Nothing here is random: the model trains without dropout."""

    def trainable(self) -> dict[str, nn.Parameter]:
        """Parameters that require gradients, by their names in the directory, tied ones once."""
        return {name: value for name, value in self.inner.named_parameters() if value.requires_grad}

    def hidden_matrices(self) -> dict[str, int]:
        """Matrices that are neither embeddings nor the output matrix."""
        tables = [module.weight for module in self.inner.modules() if isinstance(module, nn.Embedding)]
        outside = {id(weight) for weight in (*tables, self.head.weight)}
        return {
            name: 1
            for name, value in self.trainable().items()
            if value.dim() == 2 and id(value) not in outside
        }

    def payload(self, tensors: Mapping[str, Tensor]) -> dict[str, WriteFile]:
        """The files of a directory, written from copies of `trainable()`."""
        frozen = {
            name: value.detach() for name, value in self.inner.named_parameters() if name not in tensors
        }
        config = {
            **json.loads(self.files[hf_directory.CONFIG]),
            "dtype": dtype_name(stored_dtype(self.inner)),
        }
        config.pop("torch_dtype", None)
        written: dict[str, WriteFile] = {
            hf_directory.WEIGHTS: tensor_writer(lambda: {**frozen, **tensors}),
            hf_directory.CONFIG: _bytes_writer(readable_json(config).encode()),
        }
        if _GENERATION in self.files:
            written[_GENERATION] = _bytes_writer(self.files[_GENERATION])
        return written

    @torch.no_grad()
    def restore(self, folder: Path) -> None:
        """Copy the tensors of a payload into the parameters; raises `ArtefactError` when they do not fit."""
        path = folder / hf_directory.WEIGHTS
        found, own = read_tensors(path), {name: value.detach() for name, value in self.named_tensors()}
        require_same_shapes(path, found, own)
        for name, tensor in own.items():
            tensor.copy_(found[name])

    def named_tensors(self) -> Iterator[tuple[str, nn.Parameter]]:
        """All parameters by their names in the directory, tied ones once."""
        found: Iterator[tuple[str, nn.Parameter]] = self.inner.named_parameters()
        return found

    def language_model(self) -> TorchLanguageModel:
        """A live view for scoring and generation."""
        caching: Any = self  # what a caching module has beyond a trainable one, `reads` replaces
        return TorchLanguageModel(
            caching,
            scores=partial(scores, self.inner, vocab_size=self.vocab_size),
            reads=partial(HfReading, self.inner),
        )

    @torch.no_grad()
    def require_packing(self) -> None:
        """Try two documents in one row against each of them alone; raises `CapabilityMissing` when they differ."""
        if getattr(self.head, "bias", None) is not None:
            raise self._not_packable("its output is not activations times a matrix alone: there is a bias")
        try:
            difference = self._packing_error()
        except Exception as error:  # an architecture may answer a mask that it does not expect with anything
            raise self._not_packable(f"it does not take a mask: {type(error).__name__}: {error}") from error
        if difference > _PROBE_TOLERANCE.get(stored_dtype(self.inner), _COARSE_TOLERANCE):
            why = f"two documents in one row have logits {difference:.1e} from those that each has alone"
            raise self._not_packable(why)

    def _packing_error(self) -> float:
        """Largest difference of logits between packed documents and documents alone, over the largest logit."""
        ids = (torch.arange(12, device=self.head.weight.device) * 7 + 3) % self.vocab_size
        parts = ids[:5], ids[5:]
        alone = torch.cat([self.inner(input_ids=part[None]).logits[0] for part in parts]).float()
        positions = torch.cat([torch.arange(len(part), device=ids.device) for part in parts])
        documents = torch.tensor([0] * 5 + [1] * 7, device=ids.device)
        packed = self.hidden(ids[None], positions[None], documents[None])[0]
        logits = (packed @ self.head.weight.T.to(packed.dtype)).float()
        return float((logits - alone).abs().max() / alone.abs().max().clamp(min=1e-6))

    def _not_packable(self, why: str) -> CapabilityMissing:
        return CapabilityMissing(
            code="MOD-016",
            what=f"{self._architecture} cannot be trained on packed rows",
            where=str(self.inner.name_or_path),
            why=why,
            fix="use a model whose attention takes a mask (most do); scoring and generation work with this one",
        )

    @property
    def _architecture(self) -> str:
        return type(self.inner).__name__

    def _stay_within_window(self) -> None:
        """The mask of packed rows knows no sliding window: rows may be as long as the window, not longer."""
        config = self.inner.config.get_text_config()
        window = getattr(config, "sliding_window", None)
        if window and getattr(config, "use_sliding_window", True):
            self.context_length = min(self.context_length or int(window), int(window))

    def _take_context(self, wanted: int | None) -> None:
        if wanted is None:
            return
        if self.context_length is not None and wanted > self.context_length:
            raise ConfigError(
                code="TRN-004",
                what=f"a context of {wanted} tokens was asked for and the model has {self.context_length}",
                where="model.context_length",
                fix=f"model.context_length={self.context_length}, or leave it out",
            )
        self.context_length = wanted


def directory_of(folder: Path) -> Path:
    """The directory itself, or the one in a checkpoint's `model/`."""
    inner = folder / "model"
    return inner if not hf_directory.is_directory(folder) and hf_directory.is_directory(inner) else folder


def _bytes_writer(data: bytes) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_bytes(data)

    return write

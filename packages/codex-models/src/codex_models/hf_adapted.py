"""A model of transformers whose weights are frozen and whose adapter is trained, through peft.

Decisions: peft puts the adapter in and computes with it; beginning, dropout, files and the binding to the base are
ours, as they are for the decoder: A is drawn from the run's seed, masks from the run's noise, a checkpoint holds the
adapter alone. A base is known by the tensors of its files as they are stored, so the type that a run computes in
does not change it. Training in bf16 casts the frozen weights to bf16.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import attrs
import torch
from torch import Tensor, nn

from codex_core.errors import ConfigError, MissingDependency
from codex_core.seeds import seed_for
from codex_models import hf_directory
from codex_models.hf_causal import HfCausal, directory_of
from codex_models.hf_options import HfCausalOptions
from codex_models.layers import Dropout
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
    lora_from_config,
    peft_config_text,
    read_adapter,
    refuse_adapter,
    require_base,
    text_writer,
)
from codex_models.lora_options import LoraOptions
from codex_models.modules import WriteFile
from codex_models.precision import device_for, inference_dtype
from codex_models.state import read_tensors, require_same_shapes, tensor_writer

#: What peft calls an adapter without a name.
_NAME = "default"


class HfAdapted(HfCausal):
    """A `TrainableModule`: the model of a directory with an adapter put in by peft."""

    def __init__(self, plain: HfCausal, lora: LoraOptions, *, binding: Binding, seed: int) -> None:
        super().__init__(plain.inner, files=plain.files, context_length=plain.context_length)
        self.lora = lora
        self.binding = binding
        self.targets = _put_in(self.inner, lora, seed=seed_for(seed, "lora"))

    @classmethod
    def build(cls, options: HfCausalOptions, *, vocab_size: int, seed: int) -> HfAdapted:
        """The model of `options.weights` with a new adapter; equal arguments give equal parameters.

        Raises `MissingDependency` without peft, `ConfigError` for weights that are an adapter themselves and for
        targets that the model does not have.
        """
        assert options.lora is not None, "an adapter was asked for"
        folder = Path(options.weights)
        _require_peft()
        refuse_adapter(folder, where="model.weights")
        plain = HfCausal.build(attrs.evolve(options, lora=None), vocab_size=vocab_size, seed=seed)
        binding = Binding(base=directory_digest(directory_of(folder)), weights=folder.as_posix())
        return cls(plain, options.lora, binding=binding, seed=seed)

    def trainable(self) -> dict[str, nn.Parameter]:
        """The adapter's parameters and the biases that are trained with it, by peft's names without its prefix."""
        return {name.replace(f".{_NAME}.", "."): value for name, value in super().trainable().items()}

    def hidden_matrices(self) -> dict[str, int]:
        """None: Muon wants whole matrices, and those are frozen."""
        raise ConfigError(
            code="MOD-034",
            what="Muon is for the matrices inside blocks, and with model.lora these are frozen",
            where="trainer.optimizer",
            fix="trainer.optimizer=adamw",
        )

    def payload(self, tensors: Mapping[str, Tensor]) -> dict[str, WriteFile]:
        """The adapter's files."""
        named = {PEFT_PREFIX + name: tensor for name, tensor in tensors.items()}
        config = peft_config_text(
            self.lora,
            weights=self.binding.weights,
            targets=self.targets,
            transposed=_is_transposed(self.inner),
        )
        return {
            TENSORS: tensor_writer(lambda: named),
            PEFT_CONFIG: text_writer(lambda: config),
            BINDING: text_writer(lambda: binding_text(self.binding, named)),
        }

    @torch.no_grad()
    def restore(self, folder: Path) -> None:
        """Read an adapter's files into the parameters; raises `ArtefactError` for one of another base or shape."""
        adapter = read_adapter(folder)
        require_base(adapter.binding, self.binding.base, where=folder)
        expected = {PEFT_PREFIX + name: value.detach() for name, value in self.trainable().items()}
        require_same_shapes(folder / TENSORS, adapter.tensors, expected)
        for name, tensor in expected.items():
            tensor.copy_(adapter.tensors[name])

    def set_noise(self, generator: torch.Generator | None) -> None:
        """Draw the masks on what enters updates from `generator` from now on."""
        for module in self.inner.modules():
            if isinstance(module, Dropout):
                module.generator = generator

    def language_model(self) -> TorchLanguageModel:
        """A live view for scoring and generation."""
        live = super().language_model()
        live.fingerprint = self.fingerprint  # type: ignore[method-assign]  # over base and adapter, not all tensors
        return live

    def fingerprint(self) -> str:
        """`blake3:<hex>` over the base's digest and the adapter as it is now."""
        named = {PEFT_PREFIX + name: value.detach() for name, value in self.trainable().items()}
        return fingerprint_of(self.binding.base, digest_of_tensors(named))

    @property
    def compute_dtype(self) -> torch.dtype:
        """The dtype of activations; setting bfloat16 also casts the frozen parameters, for good."""
        return self._compute_dtype

    @compute_dtype.setter
    def compute_dtype(self, dtype: torch.dtype) -> None:
        self._compute_dtype = dtype
        if dtype == torch.bfloat16 and hasattr(self, "targets"):
            for parameter in self.inner.parameters():
                if not parameter.requires_grad:
                    parameter.data = parameter.data.to(dtype)

    @torch.no_grad()
    def merged_tensors(self, plain: HfCausal) -> dict[str, Tensor]:
        """The tensors of `plain`, an untouched model of the same directory, with the adapter worked into them."""
        found = {name: value.detach().clone() for name, value in plain.named_tensors()}
        for name, module in self.inner.named_modules():
            if hasattr(module, "get_delta_weight"):
                delta = module.get_delta_weight(_NAME)
                found[f"{name}.weight"] += delta.to(found[f"{name}.weight"].dtype)
        for name, value in self.trainable().items():
            if name.endswith(".bias"):
                found[name.replace(".base_layer.", ".")].copy_(value)
        return found


def open_hf_adapter(
    folder: Path, *, device: str = "cpu", dtype: str | None = None, base: Path | None = None
) -> HfAdapted:
    """The adapter in a checkpoint's `model/` folder over its base, in the base's own type unless asked otherwise.

    Raises `MissingDependency` without peft, `InputError` when the base is not found, `ArtefactError` when it is
    another one.
    """
    _require_peft()
    adapter = read_adapter(folder)
    place = directory_of(find_base(adapter.binding, folder, base=base))
    binding = Binding(base=directory_digest(place), weights=adapter.binding.weights)
    require_base(adapter.binding, binding.base, where=folder)
    plain = HfCausal.from_directory(place, dtype=None if dtype is None else inference_dtype(dtype))
    model = HfAdapted(plain, lora_from_config(adapter.config), binding=binding, seed=0)
    model.restore(folder)
    return model.to(device_for(device))


def directory_digest(folder: Path) -> str:
    """`blake3:<hex>` over the tensors of a directory as its files hold them."""
    tensors: dict[str, Tensor] = {}
    for path in hf_directory.weight_files(folder):
        tensors |= read_tensors(path)
    return digest_of_tensors(tensors)


def _put_in(inner: Any, lora: LoraOptions, *, seed: int) -> tuple[str, ...]:
    """Freeze a model and put a new adapter in; gives the names that it was put at."""
    peft = _require_peft()
    targets = lora.targets if isinstance(lora.targets, str) else list(lora.targets)
    config = peft.LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        bias=lora.bias,
        target_modules=targets,
        use_rslora=lora.rslora,
        task_type=lora.task_type,
        fan_in_fan_out=_is_transposed(inner),
    )
    with torch.random.fork_rng(devices=[]):  # peft draws from the generator that belongs to the whole process
        torch.manual_seed(seed)
        try:
            peft.inject_adapter_in_model(config, inner)
        except ValueError as error:
            raise ConfigError(
                code="MOD-038",
                what="peft cannot put the adapter into this model",
                where="model.lora",
                why=str(error),
                fix="model.lora.targets=all-linear",
            ) from error
    trained = {name: value for name, value in inner.named_parameters() if value.requires_grad}
    if lora.bias != "none" and not any(name.endswith(".bias") for name in trained):
        raise ConfigError(
            code="MOD-038",
            what=f"lora.bias={lora.bias} would train biases, and there are none",
            where="model.lora.bias",
            why=f"{type(inner).__name__} has none in the matrices that are meant",
            fix="model.lora.bias=none",
        )
    for parameter in trained.values():
        parameter.data = parameter.data.float()
    for module in inner.modules():
        held = getattr(module, "lora_dropout", None)
        if held is not None and lora.dropout:
            held[_NAME] = Dropout(lora.dropout)
    found = inner.peft_config[_NAME].target_modules
    return tuple(sorted(found)) if not isinstance(found, str) else (found,)


def _is_transposed(inner: Any) -> bool:
    """Whether matrices stand (in, out), as GPT-2 keeps them."""
    return any(type(module).__name__ == "Conv1D" for module in inner.modules())


def _require_peft() -> Any:
    if find_spec("peft") is None:
        raise MissingDependency(
            code="REG-005",
            what="model.lora on hf-causal needs peft, which is not installed",
            where="model.lora",
            why="an adapter is never left out in silence",
            fix="pip install 'codex-models[lora]'",
        )
    return import_module("peft")

"""The files of an adapter: peft's two, and one that binds it to its base.

`adapter_model.safetensors` and `adapter_config.json` are peft's format, names and all, so plain peft loads them over
the base in Hugging Face form. `adapter.json` says which base they were trained on: the digest of the base's tensors,
and where it stood; and it holds a digest of the adapter's own tensors.

Decisions: a base is known by its tensors, never by its place; whoever opens an adapter compares both digests and
refuses naming them; nothing is written but what was handed over, so a checkpoint can be written from copies.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
import blake3
from torch import Tensor

from codex_core.canonical import readable_json
from codex_core.errors import ArtefactError, ConfigError, InputError
from codex_models.lora_options import LoraOptions
from codex_models.modules import WriteFile
from codex_models.state import bytes_of, read_tensors

ADAPTER_FORMAT = "codex-adapter/1"

TENSORS, PEFT_CONFIG, BINDING = "adapter_model.safetensors", "adapter_config.json", "adapter.json"

#: What peft puts before every name: the model that it wraps, twice.
PEFT_PREFIX = "base_model.model."


@attrs.frozen(kw_only=True)
class Binding:
    """What an adapter was trained on: the digest of the base's tensors, and the path under which it was found."""

    base: str
    weights: str


@attrs.frozen(kw_only=True)
class Adapter:
    """An adapter as read from its files: tensors by peft's names, its binding and peft's configuration."""

    tensors: Mapping[str, Tensor]
    binding: Binding
    config: Mapping[str, Any]


def digest_of_tensors(tensors: Mapping[str, Tensor]) -> str:
    """`blake3:<hex>` over names, dtypes, shapes and bytes."""
    hasher = blake3.blake3()
    for name, tensor in sorted(tensors.items()):
        hasher.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        hasher.update(bytes_of(tensor.detach()))
    return f"blake3:{hasher.hexdigest()}"


def binding_text(binding: Binding, tensors: Mapping[str, Tensor]) -> str:
    """`adapter.json`."""
    return readable_json(
        {
            "format": ADAPTER_FORMAT,
            "base": binding.base,
            "weights": binding.weights,
            "adapter": digest_of_tensors(tensors),
        }
    )


def peft_config_text(lora: LoraOptions, *, weights: str, targets: tuple[str, ...], transposed: bool) -> str:
    """`adapter_config.json`; `transposed` says that the matching class keeps its matrices (in, out)."""
    alpha = int(lora.alpha) if lora.alpha == int(lora.alpha) else lora.alpha
    return readable_json(
        {
            "base_model_name_or_path": weights,
            "bias": lora.bias,
            "fan_in_fan_out": transposed,
            "inference_mode": True,
            "init_lora_weights": True,
            "lora_alpha": alpha,
            "lora_dropout": lora.dropout,
            "modules_to_save": None,
            "peft_type": "LORA",
            "r": lora.r,
            "target_modules": sorted(targets),
            "task_type": lora.task_type,
            "use_rslora": lora.rslora,
        }
    )


def lora_from_config(config: Mapping[str, Any]) -> LoraOptions:
    """The options that `peft_config_text` wrote down."""
    return LoraOptions(
        r=config["r"],
        alpha=float(config["lora_alpha"]),
        dropout=float(config["lora_dropout"]),
        bias=config["bias"],
        targets=tuple(config["target_modules"]),
        rslora=config["use_rslora"],
    )


def fingerprint_of(base: str, adapter: str) -> str:
    """The fingerprint of a model that is a base and an adapter, both by digest."""
    return f"blake3:{blake3.blake3(f'base {base}, adapter {adapter}'.encode()).hexdigest()}"


def text_writer(text: Callable[[], str]) -> WriteFile:
    """A function that writes at a path what `text()` gives when it is called."""

    def write(path: Path) -> None:
        path.write_text(text(), encoding="utf-8")

    return write


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter, of ours or of peft's."""
    return (folder / PEFT_CONFIG).is_file()


def read_adapter(folder: Path) -> Adapter:
    """The adapter in a folder; raises `ArtefactError` when its files cannot be read or do not belong together."""
    tensors = read_tensors(folder / TENSORS)
    path = folder / BINDING
    try:
        held = json.loads(path.read_text("utf-8"))
        if held["format"] != ADAPTER_FORMAT:
            raise ValueError(f"format is {held['format']!r}, expected {ADAPTER_FORMAT!r}")
        binding = Binding(base=str(held["base"]), weights=str(held["weights"]))
        said = str(held["adapter"])
        config = json.loads((folder / PEFT_CONFIG).read_text("utf-8"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtefactError(
            code="MOD-030",
            what="the adapter's files cannot be read",
            where=str(folder),
            why=f"{type(error).__name__}: {error}",
            fix="codex checkpoint list",
        ) from error
    found = digest_of_tensors(tensors)
    if found != said:
        raise ArtefactError(
            code="MOD-030",
            what="the adapter's tensors are not those that its binding names",
            where=str(folder / TENSORS),
            why=f"{BINDING} says {said}, the file has {found}",
            fix="codex checkpoint list",
        )
    return Adapter(tensors=tensors, binding=binding, config=config)


def require_base(binding: Binding, digest: str, *, where: Path) -> None:
    """Raise `ArtefactError` when an adapter meets another base than its own."""
    if binding.base != digest:
        raise ArtefactError(
            code="MOD-031",
            what="the adapter was trained on another base",
            where=str(where),
            why=f"it was trained on {binding.base} ({binding.weights}); this base is {digest}",
            fix="name the folder of its own base with --base DIR",
        )


def refuse_adapter(folder: Path, *, where: str) -> None:
    """Raise `ConfigError` when the base to be adapted is itself an adapter, which would be wrapped twice."""
    held = next((one for one in (folder, folder / "model") if is_adapter(one)), None)
    if held is not None:
        raise ConfigError(
            code="MOD-032",
            what="the weights to adapt are an adapter themselves, and adapters are not put over adapters",
            where=where,
            why=f"{held} holds {PEFT_CONFIG}",
            fix=f"merge it first: codex model merge {folder} --out DIR, and adapt DIR",
        )


def find_base(binding: Binding, folder: Path, *, base: Path | None) -> Path:
    """The folder of an adapter's base: `base` when given, else where it stood, seen from here or from the adapter.

    An adapter within a project that was moved as a whole finds its base beside itself. Raises `InputError` naming
    all places when there is none.
    """
    if base is not None:
        return base
    weights = Path(binding.weights)
    parents = [] if weights.is_absolute() else list(folder.resolve().parents)
    places = list(dict.fromkeys([weights, *(parent / weights for parent in parents)]))
    found = next((place for place in places if place.exists()), None)
    if found is not None:
        return found
    raise InputError(
        code="MOD-033",
        what="the base of the adapter is not where it was",
        where=str(folder),
        why=f"it was {binding.weights}, looked for in this directory and above the adapter",
        fix="name its folder with --base DIR",
    )

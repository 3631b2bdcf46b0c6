"""Tensors on disk: safetensors for arrays, JSON for the rest, nothing that executes.

Decisions: a model folder is `model.safetensors` (parameters by name, tied ones once) and `model.json` (format,
options, sizes); reading is strict: missing, extra or misshapen tensors are refused with both sides named; bytes
are a pure function of values, so equal runs write equal files.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import attrs
import blake3
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from codex_core.canonical import readable_json
from codex_core.contracts import WriteFile
from codex_core.errors import ArtefactError
from codex_models.lora_options import LoraOptions
from codex_models.options import DecoderOptions
from codex_models.tensor_files import read_into, write_tensors

MODEL_FORMAT = "codex-decoder/1"

#: The two files of a model folder.
DESCRIPTION = "model.json"
TENSORS = "model.safetensors"


@attrs.frozen(kw_only=True)
class Description:
    """What `model.json` says of a model."""

    options: DecoderOptions
    vocab_size: int
    context_length: int | None


class DescribedModel(Protocol):
    """What is described: a decoder."""

    options: DecoderOptions
    vocab_size: int
    context_length: int | None


class NamedModel(Protocol):
    """Whose parameters have names: a torch module."""

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """All parameters by name, tied ones once."""


def named_tensors(model: NamedModel) -> dict[str, Tensor]:
    """Parameters by name, tied ones once, detached."""
    return {name: parameter.detach() for name, parameter in model.named_parameters()}


def tensor_writer(tensors: Callable[[], Mapping[str, Tensor]]) -> WriteFile:
    """A function that writes at a path, as safetensors, what `tensors()` gives when it is called."""

    def write(path: Path) -> str:
        return write_tensors(path, tensors())

    return write


def description_writer(model: DescribedModel) -> Callable[[Path], None]:
    """A function that writes `model.json` at a path."""

    def write(path: Path) -> None:
        path.write_text(
            readable_json(
                {
                    "format": MODEL_FORMAT,
                    "options": _described(model.options),
                    "vocab_size": model.vocab_size,
                    "context_length": model.context_length,
                }
            ),
            encoding="utf-8",
        )

    return write


def _described(options: DecoderOptions) -> dict[str, Any]:
    """Options as plain values; where the first parameters came from is no part of a model with its own."""
    values = attrs.asdict(options)
    return values if values.get("lora") else {**values, "weights": None}


def read_description(folder: Path) -> Description:
    """What `model.json` in `folder` says; raises `ArtefactError` for anything else than what we write."""
    path = folder / DESCRIPTION
    try:
        held = json.loads(path.read_text("utf-8"))
        if held["format"] != MODEL_FORMAT:
            raise ValueError(f"format is {held['format']!r}, expected {MODEL_FORMAT!r}")
        lora = held["options"].get("lora")
        options = DecoderOptions(**held["options"] | {"lora": lora and LoraOptions.from_plain(lora)})
        return Description(
            options=options,
            vocab_size=int(held["vocab_size"]),
            context_length=held["context_length"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtefactError(
            code="MOD-001",
            what="the model's description cannot be read",
            where=str(path),
            why=f"{type(error).__name__}: {error}",
            fix="codex checkpoint list",
        ) from error


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors by name; raises `ArtefactError` for a file that is missing or no safetensors file."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise ArtefactError(
            code="MOD-001",
            what="a tensor file cannot be read",
            where=str(path),
            why=str(error),
            fix="codex checkpoint list",
        ) from error


def require_same_shapes(path: Path, found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Refuse missing, extra or misshapen tensors, naming both sides."""
    problems = [f"missing {name} {tuple(expected[name].shape)}" for name in expected.keys() - found.keys()]
    problems += [f"unexpected {name} {tuple(found[name].shape)}" for name in found.keys() - expected.keys()]
    problems += [
        f"{name} is {tuple(found[name].shape)} {found[name].dtype} in the file and "
        f"{tuple(tensor.shape)} {tensor.dtype} by its description"
        for name, tensor in expected.items()
        if name in found and (found[name].shape, found[name].dtype) != (tensor.shape, tensor.dtype)
    ]
    if problems:
        raise ArtefactError(
            code="MOD-002",
            what=f"{len(problems)} tensors do not fit the model",
            where=str(path),
            why="; ".join(sorted(problems)[:8]),
            fix="use a checkpoint of this architecture",
        )


@torch.no_grad()
def load_tensors(model: NamedModel, path: Path) -> None:
    """Read the file's tensors into the model's parameters."""
    read_exactly(path, named_tensors(model))


@torch.no_grad()
def read_exactly(path: Path, expected: Mapping[str, Tensor]) -> None:
    """Fill tensors from a file that holds these and no others; raises `ArtefactError` when it does not."""
    require_same_shapes(path, read_tensors(path), expected)  # mapped lazily: no values are read here
    read_into(path, expected)


def model_fingerprint(model: NamedModel) -> str:
    """`blake3:<hex>` over names, dtypes, shapes and bytes of all parameters."""
    hasher = blake3.blake3()
    for name, tensor in sorted(named_tensors(model).items()):
        hasher.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        hasher.update(bytes_of(tensor))
    return f"blake3:{hasher.hexdigest()}"


def bytes_of(tensor: Tensor) -> Any:
    """The bytes of a tensor's values, in order, whatever its strides and device."""
    return tensor.to("cpu").contiguous().reshape(-1).view(torch.uint8).numpy()

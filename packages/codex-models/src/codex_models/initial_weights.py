"""Parameters to begin with, from a folder instead of from chance.

Decisions: a checkpoint, a model folder of ours and a Hugging Face directory are taken alike; what a configuration
says of the shape must be what the folder holds, and a difference is refused with both sides and the lines that
would fit; dropout, the length of the context and names of sizes are no part of the shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import torch
from torch import Tensor

from codex_core.errors import ConfigError, InputError
from codex_models import hf_directory
from codex_models.hf_layouts import read_config
from codex_models.hf_tensors import from_directory
from codex_models.hf_tensors import read_tensors as read_directory_tensors
from codex_models.options import DecoderOptions
from codex_models.state import DESCRIPTION, TENSORS, read_description, read_tensors, require_same_shapes

#: What decides numbers, beside the vocabulary; properties stand for options that may be left to a default.
_SHAPE = {
    "layers": "layers",
    "width": "width",
    "heads": "heads",
    "kv_heads": "num_kv_heads",
    "width_per_head": "head_width",
    "ffn_width": "inner_width",
    "positions": "positions",
    "activation": "activation",
    "norm": "norm",
    "biases": "biases",
    "qk_norm": "qk_norm",
    "tied_embeddings": "tied_embeddings",
    "scale_embeddings": "scale_embeddings",
    "rope_theta": "rope_theta",
    "norm_eps": "norm_eps",
}


@attrs.frozen(kw_only=True, eq=False)
class Held:
    """What a folder holds: the options of its decoder, its vocabulary and context, and where its tensors are."""

    folder: Path
    options: DecoderOptions
    vocab_size: int
    context_length: int | None

    def tensors(self, shapes: Mapping[str, torch.Size]) -> dict[str, Tensor]:
        """The decoder's tensors by name, float32; raises `ArtefactError` or `InputError` when they do not fit."""
        if (self.folder / DESCRIPTION).is_file():
            path = self.folder / TENSORS
            found = read_tensors(path)
            expected = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
            require_same_shapes(path, found, expected)
            return found
        imported = read_config(hf_directory.config_of(self.folder), where=str(self.folder))
        files = hf_directory.weight_files(self.folder)
        return from_directory(read_directory_tensors(files), imported, shapes, where=str(self.folder))


def look_into(folder: Path) -> Held:
    """What a folder holds; raises `InputError` when it is none of the three kinds."""
    for place in (folder, folder / "model"):
        if (place / DESCRIPTION).is_file():
            held = read_description(place)
            return Held(
                folder=place,
                options=held.options,
                vocab_size=held.vocab_size,
                context_length=held.context_length,
            )
    for place in (folder, folder / "model"):
        if hf_directory.is_directory(place):
            config, _ = hf_directory.require(place)
            imported = read_config(config, where=str(place / hf_directory.CONFIG))
            return Held(
                folder=place,
                options=imported.options,
                vocab_size=imported.vocab_size,
                context_length=imported.options.context_length,
            )
    raise InputError(
        code="MOD-014",
        what="there is no model in this folder" if folder.is_dir() else "there is no such folder",
        where=str(folder),
        why=f"looked for {DESCRIPTION}, model/{DESCRIPTION} and {hf_directory.CONFIG}",
        fix="codex model list",
    )


def require_same_shape(options: DecoderOptions, held: Held, *, vocab_size: int) -> None:
    """Raise `InputError` naming each part of the shape in which a configuration and a folder differ."""
    wanted, found = _shape(options), _shape(held.options)
    if options.positions == "learned":
        wanted["context_length"], found["context_length"] = options.context_length, held.context_length
    differing = {name: value for name, value in found.items() if wanted.get(name) != value}
    if differing:
        raise InputError(
            code="MOD-014",
            what="the model to begin with has another shape than the configuration",
            where=f"model.weights, {held.folder}",
            why="; ".join(
                f"{name}: {wanted.get(name)} here, {value} there" for name, value in differing.items()
            ),
            fix=" ".join(f"model.{name}={_yaml(value)}" for name, value in differing.items()),
        )
    if held.vocab_size < vocab_size:
        raise ConfigError(
            code="MOD-015",
            what=f"the tokenizer has {vocab_size} ids and the model to begin with {held.vocab_size}",
            where=f"model.weights, {held.folder}",
            fix="take the tokenizer that belongs to the model: tokenizer.path=DIR",
        )


def _shape(options: DecoderOptions) -> dict[str, Any]:
    shape = {name: getattr(options, source) for name, source in _SHAPE.items()}
    if options.positions == "learned":
        del shape["rope_theta"]
    return shape


def _yaml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)

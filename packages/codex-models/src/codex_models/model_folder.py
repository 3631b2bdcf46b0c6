"""A decoder and a tokenizer written as a model folder of Codex, which commands open like a checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from codex_core import model_folders
from codex_core.model_folders import Part
from codex_models import __version__
from codex_models.decoder import Decoder
from codex_models.state import named_tensors

DECODER = "codex-models/decoder"

#: The tokenizer of a folder that has none.
NO_TOKENIZER = Part(id=None)


def fill(
    folder: Path,
    model: Decoder,
    *,
    tokenizer: Part,
    save_tokenizer: Callable[[Path], None] | None,
    origin: Mapping[str, Any],
) -> None:
    """Write model, tokenizer and manifest into an empty folder; `origin` says where the parameters come from."""
    (folder / model_folders.MODEL).mkdir()
    for name, write in model.payload(named_tensors(model)).items():
        write(folder / model_folders.MODEL / name)
    if save_tokenizer is not None:
        (folder / model_folders.TOKENIZER).mkdir()
        save_tokenizer(folder / model_folders.TOKENIZER)
    part = Part(id=DECODER, version=__version__, options=model.options)
    model_folders.seal(folder, model=part, tokenizer=tokenizer, origin=origin)


def describe(model: Decoder) -> str:
    """What a model is, in one line."""
    options = model.options
    numbers = sum(tensor.numel() for tensor in named_tensors(model).values())
    return (
        f"decoder, {options.layers} layers, width {options.width}, {numbers:,} parameters, "
        f"{model.vocab_size:,} ids, context {model.context_length}"
    )

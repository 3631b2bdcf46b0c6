"""An adapter in a model folder, as a run would have left it, made in a moment."""

from __future__ import annotations

from pathlib import Path

import attrs

from codex_core import model_folders
from codex_core.data.bytes_tokenizer import BytesTokenizer
from codex_core.model_folders import Part
from codex_models.lora import AdaptedDecoder
from codex_models.lora_options import LoraOptions
from codex_models.model_folder import DECODER
from codex_models.tiny import OPTIONS


def adapter(folder: Path, *, base: Path) -> Path:
    """Write an adapter over the tiny reference model in `base`, which stands beside it; every update is not zero."""
    options = attrs.evolve(OPTIONS, weights=str(base), lora=LoraOptions(r=2))
    model = AdaptedDecoder.build(options, vocab_size=BytesTokenizer.vocab_size, seed=0)
    model.context_length = OPTIONS.context_length
    model.binding = attrs.evolve(model.binding, weights=base.name)
    model.decoder.options = attrs.evolve(options, weights=base.name)
    tensors = {name: value.detach() + 0.02 for name, value in model.trainable().items()}
    (folder / model_folders.MODEL).mkdir(parents=True)
    for name, write in model.payload(tensors).items():
        write(folder / model_folders.MODEL / name)
    (folder / model_folders.TOKENIZER).mkdir()
    BytesTokenizer().save(folder / model_folders.TOKENIZER)
    model_folders.seal(
        folder,
        model=Part(id=DECODER, version="1.0.0", options=model.options),
        tokenizer=Part(id="codex-core/bytes", version="1.0.0"),
        origin={"made": "a test"},
    )
    return folder

"""A tiny reference model with a tokenizer, made from a seed: enough for every command to work without a network.

Decisions: the model is untrained and says nothing sensible; equal seeds give equal bytes on one version of torch;
the tokenizer is that of bytes, which needs no vocabulary and no further package.
"""

from __future__ import annotations

from pathlib import Path

import codex_core
from codex_core import load_component
from codex_core.model_folders import Part
from codex_models import hf_export, model_folder
from codex_models.decoder import Decoder
from codex_models.hf_layouts import LAYOUTS
from codex_models.options import DecoderOptions

OPTIONS = DecoderOptions(size="nano", context_length=256)

TOKENIZER = "codex-core/bytes"


def fill(folder: Path, *, seed: int, layout: str) -> Decoder:
    """Write the reference model into an empty folder: `codex` is the format of ours, others are for transformers."""
    tokenizer = load_component("tokenizers", TOKENIZER).train((), None, seed=seed)
    model = Decoder.build(OPTIONS, vocab_size=tokenizer.vocab_size, seed=seed)
    if layout == "codex":
        model_folder.fill(
            folder,
            model,
            tokenizer=Part(id=TOKENIZER, version=codex_core.__version__),
            save_tokenizer=tokenizer.save,
            origin={"made": "codex model make-tiny", "seed": seed},
        )
        return model
    artefact = folder / ".tokenizer"
    artefact.mkdir()
    tokenizer.save(artefact)
    hf_export.write(folder, model, LAYOUTS[layout], dtype="float32", artefact=artefact, tokenizer=tokenizer)
    for path in (*artefact.iterdir(),):
        path.unlink()
    artefact.rmdir()
    return model

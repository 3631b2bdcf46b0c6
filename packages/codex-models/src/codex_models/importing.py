"""A Hugging Face directory read into a model folder of Codex.

Decisions: weights are held as float32 whatever the directory stores; the tokenizer comes along where its files are
there, through the tokenizer `hf` of the registry; where transformers is installed, its logits and ours must agree
before the folder appears.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import torch

from codex_core.canonical import digest_of, file_digest
from codex_core.contracts import Tokenizer
from codex_core.errors import RunFailed
from codex_core.model_folders import Part
from codex_core.registry import Registry, Row
from codex_models import hf_directory, model_folder
from codex_models.decoder import Decoder
from codex_models.hf_export import logits_of
from codex_models.hf_presence import has_transformers
from codex_models.model_folder import NO_TOKENIZER
from codex_models.new_folder import new_folder

#: Largest difference of logits over the largest logit, in float32; observed 1e-6 over 2 layers.
BOUND = 1e-4


@attrs.frozen(kw_only=True)
class Imported:
    """What an import did: the model in a line, its tokenizer's id (None without one), and the comparison."""

    description: str
    tokenizer: str | None
    difference: float | None
    bound: float = BOUND

    def fields(self) -> dict[str, Any]:
        """The import as plain values."""
        return attrs.asdict(self)

    def lines(self) -> Iterator[str]:
        """The import for people."""
        yield self.description
        yield (
            f"tokenizer {self.tokenizer}"
            if self.tokenizer
            else "the directory has no tokenizer, and so has this"
        )
        if self.difference is None:
            yield "not compared with transformers, which is not installed; every tensor had its name and shape"
        else:
            yield f"logits differ from those of transformers by {self.difference:.1e} of the largest"


def import_directory(directory: Path, out: Path, *, registry: Registry) -> Imported:
    """Read a directory and write the folder `out`.

    Raises `InputError` for directories that cannot be read, `MissingDependency` when there is a tokenizer and
    nothing that reads it, `RunFailed` when transformers computes something else.
    """
    hf_directory.require(directory)
    decoder = Decoder.from_folder(directory)
    held = _tokenizer(directory, registry)
    row, tokenizer = held or (None, None)
    difference = _difference(directory, decoder) if has_transformers() else None
    with new_folder(out) as folder:
        model_folder.fill(
            folder,
            decoder,
            tokenizer=NO_TOKENIZER if row is None else Part(id=row.id, version=row.version),
            save_tokenizer=None if tokenizer is None else tokenizer.save,
            origin={"made": "codex model import", "directory": directory.name, "digest": _digest(directory)},
        )
    return Imported(
        description=model_folder.describe(decoder),
        tokenizer=None if row is None else row.id,
        difference=difference,
    )


def _tokenizer(directory: Path, registry: Registry) -> tuple[Row, Tokenizer] | None:
    if not hf_directory.tokenizer_files(directory):
        return None
    row = registry.find("tokenizers", "hf")
    options: Any = registry.options_class(row)
    tokenizer: Tokenizer = registry.load(row).train((), options(path=str(directory)), seed=0)
    return row, tokenizer


def _digest(directory: Path) -> str:
    files = [directory / hf_directory.CONFIG, *hf_directory.weight_files(directory)]
    return digest_of({path.name: file_digest(path, "blake3") for path in files})


def _difference(directory: Path, decoder: Decoder) -> float:
    """Largest difference of logits over the largest logit; raises `RunFailed` beyond the bound."""
    from codex_models.hf_loading import load  # only where transformers is installed

    inner = load(directory, dtype=torch.float32)
    length = min(decoder.context_length or 64, 64)
    row = [(place * 7919 + 11) % decoder.vocab_size for place in range(length)]
    with torch.no_grad():
        wanted = inner(input_ids=torch.tensor([row])).logits[0].float()
    difference = float((logits_of(decoder, row) - wanted).abs().max() / wanted.abs().max().clamp(min=1e-6))
    if not difference <= BOUND:
        raise RunFailed(
            code="MOD-011",
            what="the imported model computes something else than transformers",
            where=str(directory),
            why=f"logits differ by {difference:.1e} of the largest, allowed are {BOUND:.0e}",
            fix="use the directory as it is: model: {name: hf-causal, weights: DIR}",
        )
    return difference

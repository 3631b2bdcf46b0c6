"""An adapter worked into its base for good: a model folder that needs neither of the two.

Decision: what was written is read back and compared with base and adapter apart, logits on the golden prompts, in
float32; a folder that computes anything else never appears.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import torch
from torch import Tensor

from codex_core import model_folders
from codex_core.checkpoints import Checkpoint
from codex_core.errors import RunFailed, UsageError
from codex_core.model_folders import Part
from codex_models import __version__, golden_prompts
from codex_models.decoder import Decoder
from codex_models.hf_adapted import HfAdapted, open_hf_adapter
from codex_models.hf_causal import HfCausal, directory_of
from codex_models.lora import AdaptedDecoder, merged, open_adapter
from codex_models.lora_files import find_base, is_adapter, read_adapter
from codex_models.modules import TrainableModule, WriteFile
from codex_models.new_folder import new_folder
from codex_models.state import DESCRIPTION, named_tensors

if TYPE_CHECKING:
    from codex_core.contracts import Tokenizer
    from codex_core.places import Places
    from codex_core.registry import Registry

#: Largest difference of logits over the largest logit: sums in another order. fp32 over 2 layers gives 1e-6.
BOUND = 1e-5


@attrs.frozen(kw_only=True)
class Merged:
    """What a merge did: the adapter and base by digest, and how far logits were at most, on how many prompts."""

    source: str
    base: str
    fingerprint: str
    prompts: int
    difference: float

    def fields(self) -> dict[str, Any]:
        """The merge as plain values."""
        return {**attrs.asdict(self), "bound": BOUND}

    def lines(self) -> Iterator[str]:
        """The merge for people."""
        yield f"{self.source} merged into its base {self.base}"
        yield (
            f"logits read back on {self.prompts} prompts differ by at most {self.difference:.1e} of the largest "
            f"from base and adapter apart (allowed: {BOUND:.0e})"
        )


@attrs.frozen(kw_only=True, eq=False)
class OpenedAdapter:
    """An adapter over its base, in float32: the checkpoint it is in, the model, and the folder of its base."""

    found: Checkpoint
    model: AdaptedDecoder | HfAdapted
    base: Path

    def merged(self) -> tuple[Mapping[str, WriteFile], Any]:
        """The files of the merged model, and its options, as far as they belong to the model itself."""
        if isinstance(self.model, AdaptedDecoder):
            plain = merged(self.model)
            return plain.payload(named_tensors(plain)), plain.options
        directory = HfCausal.from_directory(self.base, dtype=torch.float32)
        return directory.payload(self.model.merged_tensors(directory)), None

    def reopened(self, folder: Path) -> Decoder | HfCausal:
        """What was written into a `model/` folder, read back."""
        if isinstance(self.model, AdaptedDecoder):
            return Decoder.from_folder(folder)
        return HfCausal.from_directory(folder, dtype=torch.float32)


def merge_model(
    reference: str, out: Path, *, places: Places, registry: Registry, base: Path | None
) -> Merged:
    """Write the model that an adapter and its base are together into the folder `out`, verified.

    Raises `UsageError` for what is no adapter, what opening one raises, and `RunFailed` when the merged model
    computes something else; then nothing is left.
    """
    opened = adapter_of(reference, places=places, base=base)
    found, tokenizer = opened.found, tokenizer_of(registry, opened.found)
    components = found.manifest["components"]
    with new_folder(out) as folder:
        files, options = opened.merged()
        for part in (model_folders.MODEL, model_folders.TOKENIZER):
            (folder / part).mkdir()
        for name, write in files.items():
            write(folder / model_folders.MODEL / name)
        tokenizer.save(folder / model_folders.TOKENIZER)
        model_folders.seal(
            folder,
            model=Part(id=components["model"]["id"], version=__version__, options=options),
            tokenizer=Part(id=components["tokenizer"]["id"], version=components["tokenizer"]["version"]),
            origin={
                "made": "codex model merge",
                "adapter": found.digest,
                "base": opened.model.binding.base,
                "step": found.step,
            },
        )
        rows = rows_for(tokenizer, opened.model)
        difference = largest_difference(opened.model, opened.reopened(folder / model_folders.MODEL), rows)
        if not difference <= BOUND:
            raise RunFailed(
                code="MOD-036",
                what="the merged model computes something else than base and adapter apart",
                where=str(found.path),
                why=f"logits differ by {difference:.1e} of the largest, allowed are {BOUND:.0e}",
                fix="keep the adapter apart: codex generate reads it as it is",
            )
    return Merged(
        source=str(found.path),
        base=opened.model.binding.base,
        fingerprint=opened.model.fingerprint(),
        prompts=len(rows),
        difference=difference,
    )


def adapter_of(reference: str, *, places: Places, base: Path | None) -> OpenedAdapter:
    """The adapter that a reference means, over its base; `UsageError` for any other model."""
    found = model_folders.find(reference, places)
    place = found.path / "model"
    if not is_adapter(place):
        raise UsageError(
            code="MOD-037",
            what="this model is no adapter",
            where=str(found.path),
            why=f"it is {found.manifest['components']['model']['id']}, whole as it is",
            fix=f"codex model export {reference} --out DIR",
        )
    folder = find_base(read_adapter(place).binding, place, base=base)
    if (place / DESCRIPTION).is_file():
        return OpenedAdapter(found=found, model=open_adapter(place, base=folder), base=folder)
    adapted = open_hf_adapter(place, dtype="float32", base=folder)
    return OpenedAdapter(found=found, model=adapted, base=directory_of(folder))


def tokenizer_of(registry: Registry, found: Checkpoint) -> Tokenizer:
    """The tokenizer of a checkpoint."""
    row = registry.find("tokenizers", found.manifest["components"]["tokenizer"]["id"])
    tokenizer: Tokenizer = registry.load(row).load(found.path / "tokenizer")
    return tokenizer


def rows_for(tokenizer: Tokenizer, model: TrainableModule) -> list[tuple[int, ...]]:
    """The golden prompts as the model reads them."""
    rows = golden_prompts.fitting(golden_prompts.rendered(tokenizer), model.context_length)
    return [row for row in rows if row]


def largest_difference(
    one: TrainableModule, other: TrainableModule, rows: Sequence[tuple[int, ...]]
) -> float:
    """How far the logits of two models are apart at most, over the largest."""
    return max(apart(logits_of(one, row), logits_of(other, row)) for row in rows)


@torch.no_grad()
def logits_of(model: TrainableModule, row: tuple[int, ...]) -> Tensor:
    """Logits (T, V) of one row."""
    ids = torch.tensor([row])
    model.train(False)
    return model.head(model.hidden(ids, torch.arange(len(row))[None], torch.zeros_like(ids)))[0]


def apart(wanted: Tensor, found: Tensor) -> float:
    """The largest difference over the largest value."""
    return float((found - wanted).abs().max() / wanted.abs().max().clamp(min=1e-6))

"""An adapter alone, as a folder that plain peft loads over its base in Hugging Face form.

Decisions: the adapter is that of the base as `codex model export` writes it, which divides what blocks add where tied
embeddings are scaled, so its tensors are divided likewise; else they are the checkpoint's. Where peft is installed
the folder is loaded by it, over the base written out for it, and its logits are compared with ours before the folder
appears; where it is not, that is said.
"""

from __future__ import annotations

import math
import tempfile
import warnings
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import torch
from torch import Tensor

from codex_core.errors import RunFailed
from codex_models import hf_export
from codex_models.decoder import Decoder
from codex_models.hf_adapted import HfAdapted
from codex_models.hf_layouts import fitting_layout
from codex_models.hf_loading import load
from codex_models.hf_presence import has_transformers
from codex_models.lora import AdaptedDecoder
from codex_models.lora_files import BINDING, PEFT_CONFIG, TENSORS
from codex_models.lora_merge import (
    BOUND,
    OpenedAdapter,
    adapter_of,
    apart,
    logits_of,
    rows_for,
    tokenizer_of,
)
from codex_models.new_folder import new_folder

if TYPE_CHECKING:
    from codex_core.checkpoints import Checkpoint
    from codex_core.contracts import Tokenizer
    from codex_core.places import Places
    from codex_core.registry import Registry


@attrs.frozen(kw_only=True)
class ExportedAdapter:
    """What an export did; `verified_by` is None where peft is not installed, and then there is no difference."""

    source: str
    base: str
    weights: str
    verified_by: str | None
    difference: float | None

    def fields(self) -> dict[str, Any]:
        """The export as plain values."""
        return {**attrs.asdict(self), "bound": BOUND}

    def lines(self) -> Iterator[str]:
        """The export for people."""
        yield f"{self.source}, an adapter over {self.weights} ({self.base})"
        if self.difference is None:
            yield "not verified through peft, which is not installed"
        else:
            yield (
                f"loaded by {self.verified_by}: logits differ by at most {self.difference:.1e} of the largest "
                f"(allowed: {BOUND:.0e})"
            )


def export_adapter(
    reference: str, out: Path, *, places: Places, registry: Registry, base: Path | None
) -> ExportedAdapter:
    """Write the adapter of a checkpoint into the folder `out`, with a card.

    Raises `UsageError` for what is no adapter, and `RunFailed` when peft computes something else with it.
    """
    opened = adapter_of(reference, places=places, base=base)
    found, adapted = opened.found, opened.model
    with new_folder(out) as folder:
        written = adapted.payload(_as_exported(adapted))
        for name in (TENSORS, PEFT_CONFIG, BINDING):
            written[name](folder / name)
        difference = None
        if find_spec("peft") is not None and has_transformers():
            difference = _through_peft(folder, opened, tokenizer_of(registry, found))
        verified = None if difference is None else f"peft {import_module('peft').__version__}"
        done = ExportedAdapter(
            source=str(found.path),
            base=adapted.binding.base,
            weights=adapted.binding.weights,
            verified_by=verified,
            difference=difference,
        )
        (folder / "README.md").write_text(_card(done, found), encoding="utf-8")
    return done


def _as_exported(adapted: AdaptedDecoder | HfAdapted) -> dict[str, Tensor]:
    """The trained tensors by name, as they belong to the base in Hugging Face form."""
    tensors = {name: value.detach() for name, value in adapted.trainable().items()}
    if not isinstance(adapted, AdaptedDecoder):
        return tensors
    options = adapted.options
    if not (options.scale_embeddings and options.tied_embeddings) or options.qk_norm:
        return tensors
    scale = math.sqrt(options.width)
    writes = (".attention_out.update.b", ".attention_out.bias", ".ffn_out.update.b", ".ffn_out.bias")
    return {name: value / scale if name.endswith(writes) else value for name, value in tensors.items()}


def _through_peft(folder: Path, opened: OpenedAdapter, tokenizer: Tokenizer) -> float:
    """How far peft over transformers is from our own logits; raises `RunFailed` when it is too far."""
    with tempfile.TemporaryDirectory() as name:
        base = opened.base
        if isinstance(opened.model, AdaptedDecoder):
            base = Path(name)
            _write_base(base, opened.model, artefact=opened.found.path / "tokenizer", tokenizer=tokenizer)
        inner = load(base, dtype=torch.float32)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # between peft and transformers
            theirs = import_module("peft").PeftModel.from_pretrained(inner, folder).eval()
        difference = max(_apart(theirs, opened.model, row) for row in rows_for(tokenizer, opened.model))
    if not difference <= BOUND:
        raise RunFailed(
            code="MOD-036",
            what="peft computes something else with this adapter than we do",
            where=str(opened.found.path),
            why=f"logits differ by {difference:.1e} of the largest, allowed are {BOUND:.0e}",
            fix="this is a bug: codex doctor",
        )
    return difference


def _write_base(folder: Path, adapted: AdaptedDecoder, *, artefact: Path, tokenizer: Tokenizer) -> None:
    """The base of a decoder's adapter in Hugging Face form."""
    base = Decoder.build(attrs.evolve(adapted.options, lora=None), vocab_size=adapted.vocab_size, seed=0)
    base.context_length = adapted.context_length
    layout = fitting_layout(base.options)
    hf_export.write(folder, base, layout, dtype="float32", artefact=artefact, tokenizer=tokenizer)


@torch.no_grad()
def _apart(theirs: Any, adapted: AdaptedDecoder | HfAdapted, row: tuple[int, ...]) -> float:
    return apart(logits_of(adapted, row), theirs(input_ids=torch.tensor([row])).logits[0].float())


def _card(done: ExportedAdapter, found: Checkpoint) -> str:
    """What the folder is, from the checkpoint's manifest; nothing that is not known."""
    manifest = found.manifest
    verified = (
        f"Loaded by {done.verified_by} over the base, logits differed by at most {done.difference:.1e} of the largest."
        if done.difference is not None
        else "It was not loaded by peft when it was exported, because peft was not installed."
    )
    return "\n".join(
        [
            "---",
            "library_name: peft",
            "pipeline_tag: text-generation",
            "---",
            "",
            f"# Adapter of {manifest['run']['name']}, step {found.step}",
            "",
            "A LoRA adapter, trained by Codex.",
            f"It belongs to the base with the digest `{done.base}`, which stood in `{done.weights}`.",
            "A base of Codex becomes a directory for peft with `codex model export`.",
            verified,
            "",
            f"- run: `{manifest['run']['id']}`",
            f"- checkpoint: `{found.digest}`",
            f"- data: `{manifest['data']['fingerprint']}`",
            f"- configuration: `{manifest['config_hash']}`",
            "",
        ]
    )

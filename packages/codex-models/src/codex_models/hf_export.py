"""A decoder as a directory that transformers loads, compared with the decoder before anybody sees it.

Decisions: what was written is read back, by transformers where it is installed, else by our own reader of the same
layout; logits on the golden prompts must agree within a stated bound and the tokenizer must render the same ids,
else nothing is left behind; tied matrices are written once and stay one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any

import attrs
import torch
from torch import Tensor

from codex_core.canonical import readable_json
from codex_core.contracts import Tokenizer
from codex_core.errors import InputError, MissingDependency, RunFailed
from codex_models import golden_prompts, hf_tokenizer_files
from codex_models.decoder import Decoder
from codex_models.hf_directory import CONFIG, WEIGHTS
from codex_models.hf_layouts import Layout, write_config
from codex_models.hf_presence import has_transformers
from codex_models.hf_tensors import to_directory, unscaled
from codex_models.state import named_tensors, tensor_writer

#: Largest difference of logits over the largest logit, by the type that is written: rounding of weights, and sums in
#: another order. fp32 over 2 layers gives 1e-6; bf16 keeps 8 bits of a weight, fp16 11.
BOUNDS = MappingProxyType({"float32": 1e-4, "bfloat16": 5e-2, "float16": 1e-2})

Encode = Callable[[str], Sequence[int]]


@attrs.frozen(kw_only=True)
class Verified:
    """How an export was compared: by which readers, on how many prompts, how far logits were at most."""

    logits_by: str
    ids_by: str
    prompts: int
    difference: float
    bound: float


def write(
    folder: Path, model: Decoder, layout: Layout, *, dtype: str, artefact: Path, tokenizer: Tokenizer
) -> None:
    """Write weights, configurations and tokenizer into an empty folder."""
    if model.context_length is None:
        raise InputError(
            code="MOD-014",
            what="the model has no context length, and every layout names one",
            where=str(artefact.parent),
            fix="train it, or set model.context_length",
        )
    tensors, options = unscaled(named_tensors(model), model.options)
    options = attrs.evolve(options, context_length=model.context_length)
    config = write_config(options, layout, vocab_size=model.vocab_size, dtype=dtype)
    roles = {f"{role}_token_id": number for role, number in tokenizer.special_ids.items() if role != "unk"}
    written = to_directory(tensors, options, layout, dtype=getattr(torch, dtype))
    tensor_writer(lambda: written)(folder / WEIGHTS)
    (folder / CONFIG).write_text(readable_json(config | roles), encoding="utf-8")
    (folder / "generation_config.json").write_text(readable_json(roles), encoding="utf-8")
    hf_tokenizer_files.write(
        folder, artefact=artefact, tokenizer=tokenizer, context_length=model.context_length
    )


def verify(
    folder: Path,
    model: Decoder,
    *,
    dtype: str,
    tokenizer: Tokenizer,
    own_encode: Callable[[Path], Encode] | None,
) -> Verified:
    """Compare a written directory with the model; raises `RunFailed` when it computes or renders anything else.

    `own_encode` opens the directory's tokenizer where transformers is not installed.
    """
    has_library = has_transformers()
    rows = golden_prompts.rendered(tokenizer)
    encode = _library_encode(folder) if has_library else None
    ids_by = "transformers" if has_library else "the tokenizer `hf` of Codex"
    if encode is None:
        if own_encode is None:
            raise MissingDependency(
                code="REG-005",
                what="the export cannot be verified: nothing here reads its tokenizer",
                where=str(folder.parent),
                why="an export is compared with the model before it counts as one",
                fix="pip install 'codex-models[hf]', or codex-tokenizers",
            )
        encode = own_encode(folder)
    _compare_ids(encode, rows)
    shown = [row for row in golden_prompts.fitting(rows, model.context_length) if row]
    forward = _library_forward(folder, dtype) if has_library else _own_forward(folder)
    difference = max(_difference(model, forward, row) for row in shown)
    bound = BOUNDS[dtype]
    if not difference <= bound:
        raise RunFailed(
            code="MOD-011",
            what="the exported model computes something else than the model",
            why=f"logits differ by {difference:.1e} of the largest, allowed are {bound:.0e} in {dtype}",
            fix="export in float32; if it was, this is a bug: codex doctor",
        )
    return Verified(
        logits_by="transformers" if has_library else "the reader of Codex",
        ids_by=ids_by,
        prompts=len(shown),
        difference=difference,
        bound=bound,
    )


def require_same_ids(folder: Path, tokenizer: Tokenizer) -> None:
    """Raise `RunFailed` unless transformers renders the golden prompts of a directory as the tokenizer does."""
    _compare_ids(_library_encode(folder), golden_prompts.rendered(tokenizer))


@torch.no_grad()
def logits_of(model: Decoder, row: Sequence[int]) -> Tensor:
    """Logits (T, V) of one row, in float32."""
    ids = torch.tensor([list(row)])
    positions = torch.arange(len(row))[None]
    model.train(False)
    found: Tensor = model.head(model.hidden(ids, positions, torch.zeros_like(ids)))[0].float()
    return found


def _difference(model: Decoder, forward: Callable[[Sequence[int]], Tensor], row: Sequence[int]) -> float:
    wanted, found = logits_of(model, row), forward(row)
    return float((found - wanted).abs().max() / wanted.abs().max().clamp(min=1e-6))


def _compare_ids(encode: Encode, rows: Sequence[Sequence[int]]) -> None:
    for text, row in zip(golden_prompts.GOLDEN_PROMPTS, rows, strict=True):
        found = list(encode(text))
        if found != list(row):
            first = next(
                (place for place, pair in enumerate(zip(found, row, strict=False)) if pair[0] != pair[1]),
                min(len(found), len(row)),
            )
            raise RunFailed(
                code="MOD-011",
                what="the exported tokenizer renders other ids than the model's",
                why=f"{text[:40]!r}: {found[first : first + 4]} instead of {list(row)[first : first + 4]} "
                f"from token {first} on",
                fix="codex checkpoint export keeps model and tokenizer in the format of Codex",
            )


def _library_encode(folder: Path) -> Encode:
    transformers: Any = import_module("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False
    )
    return lambda text: list(tokenizer(text)["input_ids"])


def _library_forward(folder: Path, dtype: str) -> Callable[[Sequence[int]], Tensor]:
    from codex_models.hf_loading import load  # only where transformers is installed

    inner = load(folder, dtype=getattr(torch, dtype))

    @torch.no_grad()
    def forward(row: Sequence[int]) -> Tensor:
        logits: Tensor = inner(input_ids=torch.tensor([list(row)])).logits[0].float()
        return logits

    return forward


def _own_forward(folder: Path) -> Callable[[Sequence[int]], Tensor]:
    again = Decoder.from_folder(folder)
    return lambda row: logits_of(again, row)

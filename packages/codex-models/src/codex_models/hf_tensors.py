"""Tensors of a decoder from a Hugging Face directory, and back.

Decisions: reading is strict: each tensor that the layout names must be there with its shape, and none beside them
but those that are known to hold no parameter; everything is read as float32, which holds every narrower value
exactly; embeddings that the decoder scales are written so that a model without that scale computes the same.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path

import attrs
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from codex_core.errors import InputError
from codex_models.hf_layouts import Imported, Layout, Source, sources
from codex_models.options import DecoderOptions

#: Buffers that older files hold: masks and frequencies, which are no parameters.
_NO_PARAMETERS = re.compile(r".*\.(attn\.(masked_)?bias|rotary_emb\.inv_freq)")


def read_tensors(weight_files: list[Path]) -> dict[str, Tensor]:
    """All tensors of a directory's safetensors files, by name."""
    found: dict[str, Tensor] = {}
    for path in weight_files:
        try:
            found |= load_file(path)
        except (OSError, SafetensorError) as error:
            raise InputError(
                code="MOD-010",
                what="a tensor file cannot be read",
                where=str(path),
                why=str(error),
                fix="copy the file again from where it came",
            ) from error
    return found


def from_directory(
    found: Mapping[str, Tensor], imported: Imported, shapes: Mapping[str, torch.Size], *, where: str
) -> dict[str, Tensor]:
    """The decoder's tensors, float32; raises `InputError` naming what is missing, left over or misshapen."""
    table = sources(imported.options, imported.layout)
    held = _with_prefix(found, imported.layout)
    wanted = _wanted(table, shapes)
    problems = [f"missing {name} {shape}" for name, shape in wanted.items() if name not in held]
    problems += [
        f"{name} is {tuple(held[name].shape)} in the file and {shape} by config.json"
        for name, shape in wanted.items()
        if name in held and tuple(held[name].shape) != shape
    ]
    problems += _left_over(held, wanted, imported)
    if problems:
        raise InputError(
            code="MOD-009",
            what=f"{len(problems)} tensors do not fit the {imported.layout.name} model of config.json",
            where=where,
            why="; ".join(sorted(problems)[:8]),
            fix="codex model check DIR, and copy the directory again from where it came",
        )
    return {name: _assembled(held, source) for name, source in table.items()}


def to_directory(
    tensors: Mapping[str, Tensor], options: DecoderOptions, layout: Layout, *, dtype: torch.dtype
) -> dict[str, Tensor]:
    """The directory's tensors of a decoder whose embeddings are not scaled (see `unscaled`)."""
    written: dict[str, Tensor] = {}
    for name, source in sources(options, layout).items():
        tensor = tensors[name].T if source.transposed else tensors[name]
        rows = [len(tensor)] if source.rows == (-1,) else list(source.rows)
        for part_name, part in zip(source.names, tensor.split(rows), strict=True):
            written[part_name] = part.to(dtype).clone(memory_format=torch.contiguous_format)
    return written


def unscaled(
    tensors: Mapping[str, Tensor], options: DecoderOptions
) -> tuple[dict[str, Tensor], DecoderOptions]:
    """Tensors and options of the same function without scaled embeddings.

    Separate embeddings take the scale. Tied ones stay as they are: what blocks add is divided by it instead, and
    `norm_eps` by its square, since norms do not see a common scale of everything that passes by.
    """
    changed = {name: tensor.detach().to("cpu") for name, tensor in tensors.items()}
    if not options.scale_embeddings:
        return changed, options
    scale = math.sqrt(options.width)
    plain = attrs.evolve(options, scale_embeddings=False)
    if is_untied_by_export(options):
        # The norms of queries and keys share norm_eps and do see their scale: untie instead.
        changed["head.weight"] = changed["embedding.weight"]
        plain = attrs.evolve(plain, size=None, tied_embeddings=False)
    if not plain.tied_embeddings:
        changed["embedding.weight"] = changed["embedding.weight"] * scale
        return changed, plain
    for name in changed:
        if name == "places.weight" or ".attention_out." in name or ".ffn_out." in name:
            changed[name] = changed[name] / scale
    return changed, attrs.evolve(plain, norm_eps=options.norm_eps / scale**2)


def is_untied_by_export(options: DecoderOptions) -> bool:
    """Whether a tied decoder has two matrices in a directory: see `unscaled`."""
    return bool(options.scale_embeddings and options.tied_embeddings and options.qk_norm)


def _wanted(table: Mapping[str, Source], shapes: Mapping[str, torch.Size]) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor of the directory, from those of the decoder."""
    wanted: dict[str, tuple[int, ...]] = {}
    for name, source in table.items():
        shape = tuple(shapes[name])
        for part_name, rows in zip(source.names, source.rows, strict=True):
            part = shape if rows == -1 else (rows, *shape[1:])
            wanted[part_name] = part[::-1] if source.transposed else part
    return wanted


def _with_prefix(found: Mapping[str, Tensor], layout: Layout) -> dict[str, Tensor]:
    """GPT-2 files of the first kind leave the prefix `transformer.` out."""
    if layout.name != "gpt2" or any(name.startswith("transformer.") for name in found):
        return dict(found)
    return {
        name if name == "lm_head.weight" else f"transformer.{name}": tensor for name, tensor in found.items()
    }


def _left_over(held: Mapping[str, Tensor], wanted: Mapping[str, object], imported: Imported) -> list[str]:
    """Tensors that nothing takes; a copy of tied embeddings must be one."""
    problems = []
    for name in held.keys() - wanted.keys():
        if name == "lm_head.weight":
            (embedding,) = sources(imported.options, imported.layout)["embedding.weight"].names
            if embedding in held and not torch.equal(held[name], held[embedding]):
                problems.append("lm_head.weight differs from the embeddings that config.json ties it to")
        elif not _NO_PARAMETERS.fullmatch(name):
            problems.append(f"unexpected {name} {tuple(held[name].shape)}")
    return problems


def _assembled(held: Mapping[str, Tensor], source: Source) -> Tensor:
    parts = [held[name].to(torch.float32) for name in source.names]
    stacked = torch.cat(parts) if len(parts) > 1 else parts[0]
    return (stacked.T if source.transposed else stacked).contiguous()

"""Which matrices of a decoder can be adapted, and what peft calls them; importing this module loads no torch.

Decision: one of our matrices may hold several of the projections that the matching `transformers` class has apart,
stacked by rows. Adapters are chosen, saved and loaded by the names of that class (`q_proj`, ...), so that a file of
ours and one of peft's for the exported model are the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from codex_models.lora_options import LoraOptions
    from codex_models.options import DecoderOptions

#: The matrices of a block that hold projections, by attribute, in the order of the computation.
MATRICES = ("attention_in", "attention_out", "ffn_in", "ffn_out")


class Projection(NamedTuple):
    """One projection of a block: the target it is chosen by, its module's path, and its rows in our matrix."""

    target: str
    module: str
    rows: tuple[int, int]


def projections(options: DecoderOptions) -> dict[str, tuple[Projection, ...]]:
    """The projections that each matrix of a block holds, by attribute; `module` has a place for the block's number."""
    width, inner = options.width, options.inner_width
    if not options.is_gated:  # the layout of GPT-2
        return {
            "attention_in": _stacked("transformer.h.{}.attn", c_attn=options.attention_rows),
            "attention_out": _stacked("transformer.h.{}.attn", c_proj=width),
            "ffn_in": _stacked("transformer.h.{}.mlp", c_fc=inner),
            "ffn_out": _stacked("transformer.h.{}.mlp", c_proj=width),
        }
    queries, keys = options.heads * options.head_width, options.num_kv_heads * options.head_width
    return {
        "attention_in": _stacked("model.layers.{}.self_attn", q_proj=queries, k_proj=keys, v_proj=keys),
        "attention_out": _stacked("model.layers.{}.self_attn", o_proj=width),
        "ffn_in": _stacked("model.layers.{}.mlp", gate_proj=inner, up_proj=inner),
        "ffn_out": _stacked("model.layers.{}.mlp", down_proj=width),
    }


def target_names(options: DecoderOptions) -> tuple[str, ...]:
    """What can be adapted, each name once.

    >>> from codex_models.options import DecoderOptions
    >>> target_names(DecoderOptions())
    ('q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj')
    """
    return tuple(dict.fromkeys(one.target for held in projections(options).values() for one in held))


def num_adapter_parameters(options: DecoderOptions, lora: LoraOptions) -> int:
    """Entries of all A and B, and of the biases that are trained with them.

    >>> from codex_models.lora_options import LoraOptions
    >>> from codex_models.options import DecoderOptions
    >>> num_adapter_parameters(DecoderOptions(size="S"), LoraOptions(r=8))
    245760
    """
    wide = options.width, options.heads * options.head_width, options.width, options.inner_width
    targets, total = lora.targets_among(target_names(options)), 0
    has_bias = {"none": (), "qkv": ("attention_in",), "all": MATRICES}[options.biases]
    for (name, held), width_in in zip(projections(options).items(), wide, strict=True):
        for one in held:
            height = one.rows[1] - one.rows[0]
            total += lora.r * (width_in + height) if one.target in targets else 0
            is_trained = lora.bias == "all" or (lora.bias == "lora_only" and one.target in targets)
            total += height if is_trained and name in has_bias else 0
    return options.layers * total


def _stacked(parent: str, **heights: int) -> tuple[Projection, ...]:
    found, start = [], 0
    for name, height in heights.items():
        found.append(Projection(name, f"{parent}.{name}", (start, start + height)))
        start += height
    return tuple(found)

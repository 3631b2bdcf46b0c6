"""How the decoder is laid out in Hugging Face directories: configurations and names of tensors, both ways.

Decisions: a layout is a table, used for import and for export; a configuration that asks for anything the decoder
does not compute (a sliding window, scaled rotations, another activation) is refused with both sides named, never
approximated; importing this module loads no torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import attrs

from codex_core.errors import InputError, UsageError
from codex_models.options import DecoderOptions


@attrs.frozen(kw_only=True)
class Layout:
    """A family of directories that `transformers` loads: its name is the configuration's `model_type`."""

    name: str
    architecture: str
    biases: str
    qk_norm: bool


LAYOUTS = MappingProxyType(
    {
        layout.name: layout
        for layout in (
            Layout(name="llama", architecture="LlamaForCausalLM", biases="none", qk_norm=False),
            Layout(name="qwen2", architecture="Qwen2ForCausalLM", biases="qkv", qk_norm=False),
            Layout(name="qwen3", architecture="Qwen3ForCausalLM", biases="none", qk_norm=True),
            Layout(name="gpt2", architecture="GPT2LMHeadModel", biases="all", qk_norm=False),
        )
    }
)

#: Activations by the names that GPT-2 configurations give them.
_GELUS = {"gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "gelu": "gelu"}


@attrs.frozen(kw_only=True)
class Imported:
    """What a configuration describes, as a decoder."""

    layout: Layout
    options: DecoderOptions
    vocab_size: int


@attrs.frozen
class Source:
    """Where a tensor of the decoder stands in a directory: `names` stacked by rows, transposed where marked."""

    names: tuple[str, ...]
    rows: tuple[int, ...]
    transposed: bool = False


def read_config(config: Mapping[str, Any], *, where: str) -> Imported:
    """The decoder that a configuration describes; raises `InputError` for what the decoder does not compute."""
    layout = LAYOUTS.get(str(config.get("model_type")))
    if layout is None:
        raise InputError(
            code="MOD-008",
            what=f"the decoder has no layout for model_type {config.get('model_type')!r}",
            where=where,
            why=f"it reads {', '.join(LAYOUTS)}",
            fix="use the directory as it is: model: {name: hf-causal, weights: DIR}",
        )
    problems = list(_problems(config, layout))
    if problems:
        raise InputError(
            code="MOD-008",
            what=f"this {layout.name} directory asks for something that the decoder does not compute",
            where=where,
            why="; ".join(problems),
            fix="use the directory as it is: model: {name: hf-causal, weights: DIR}",
        )
    try:
        options = _gpt2_options(config) if layout.name == "gpt2" else _llama_options(config, layout)
        return Imported(layout=layout, options=options, vocab_size=int(config["vocab_size"]))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            code="MOD-008",
            what="the configuration lacks a number, or its numbers do not fit each other",
            where=where,
            why=f"{type(error).__name__}: {error}",
            fix="restore config.json from where the directory was copied",
        ) from error


def write_config(options: DecoderOptions, layout: Layout, *, vocab_size: int, dtype: str) -> dict[str, Any]:
    """The configuration of a decoder in a layout; `options` are those after `folded` scaling."""
    common = {
        "architectures": [layout.architecture],
        "model_type": layout.name,
        "vocab_size": vocab_size,
        "tie_word_embeddings": bool(options.tied_embeddings),
        "dtype": dtype,
        "torch_dtype": dtype,
        "use_cache": True,
    }
    if layout.name == "gpt2":
        names = {ours: theirs for theirs, ours in reversed(_GELUS.items())}
        return common | {
            "n_layer": options.layers,
            "n_embd": options.width,
            "n_head": options.heads,
            "n_inner": options.inner_width,
            "n_positions": options.context_length,
            "activation_function": names[options.activation],
            "layer_norm_epsilon": options.norm_eps,
            **dict.fromkeys(("embd_pdrop", "resid_pdrop"), options.dropout),
            "attn_pdrop": 0.0,
        }
    return common | {
        "num_hidden_layers": options.layers,
        "hidden_size": options.width,
        "num_attention_heads": options.heads,
        "num_key_value_heads": options.num_kv_heads,
        "head_dim": options.head_width,
        "intermediate_size": options.inner_width,
        "max_position_embeddings": options.context_length,
        "hidden_act": "silu",
        "rms_norm_eps": options.norm_eps,
        # Both spellings: rope_theta up to version 4 of transformers, rope_parameters from 5 on.
        "rope_theta": options.rope_theta,
        "rope_parameters": {"rope_theta": options.rope_theta, "rope_type": "default"},
        **({"attention_bias": options.biases == "all"} if layout.name != "qwen2" else {}),
        **({"mlp_bias": options.biases == "all"} if layout.name == "llama" else {}),
        **({"use_sliding_window": False} if layout.name.startswith("qwen") else {}),
    }


def layout_for(options: DecoderOptions, name: str) -> Layout:
    """The layout called `name`; raises `UsageError` naming what it cannot hold of a decoder."""
    layout = LAYOUTS[name]
    problems = [f"{what} is {have}, {name} has {wants}" for what, have, wants in _misfits(options, layout)]
    if problems:
        fitting = [other.name for other in LAYOUTS.values() if not list(_misfits(options, other))]
        raise UsageError(
            code="MOD-013",
            what=f"the layout {name} cannot hold this model",
            where="--layout",
            why="; ".join(problems),
            fix=f"--layout {fitting[0]}"
            if fitting
            else "keep it in the format of Codex: codex checkpoint export",
        )
    return layout


def fitting_layout(options: DecoderOptions) -> Layout:
    """The first layout that holds a decoder; raises `UsageError` when none does."""
    for layout in LAYOUTS.values():
        if not list(_misfits(options, layout)):
            return layout
    return layout_for(options, "gpt2" if options.positions == "learned" else "llama")


def sources(options: DecoderOptions, layout: Layout) -> dict[str, Source]:
    """For each tensor of the decoder, by name, where it stands in a directory of this layout."""
    table = _gpt2_sources(options) if layout.name == "gpt2" else _llama_sources(options)
    found = dict(table)
    if not options.tied_embeddings:
        found["head.weight"] = Source(("lm_head.weight",), (-1,))
    return found


def _misfits(options: DecoderOptions, layout: Layout) -> Iterator[tuple[str, object, object]]:
    """Option, what the decoder has, what the layout has, for each difference."""
    is_gpt2 = layout.name == "gpt2"
    biases = (layout.biases, "all") if layout.name == "llama" else (layout.biases,)
    allowed: dict[str, tuple[object, ...]] = {
        "positions": ("learned",) if is_gpt2 else ("rope",),
        "norm": ("layer",) if is_gpt2 else ("rms",),
        "activation": ("gelu_tanh", "gelu") if is_gpt2 else ("swiglu",),
        "biases": biases,
        "qk_norm": (layout.qk_norm,),
    }
    if is_gpt2:
        allowed |= {"num_kv_heads": (options.heads,), "head_width": (options.width // options.heads,)}
    for name, values in allowed.items():
        if getattr(options, name) not in values:
            yield name, getattr(options, name), " or ".join(map(str, values))


def _problems(config: Mapping[str, Any], layout: Layout) -> Iterator[str]:
    """What a configuration asks for and the decoder does not compute."""
    expected: dict[str, tuple[Any, tuple[Any, ...]]] = {
        "use_sliding_window": (False, (False, None)),
        "hidden_act": ("silu", ("silu", "swish")),
        "activation_function": ("gelu_new", tuple(_GELUS)),
        "scale_attn_weights": (True, (True,)),
        "scale_attn_by_inverse_layer_idx": (False, (False,)),
        "add_cross_attention": (False, (False,)),
    }
    for name, (default, allowed) in expected.items():
        if config.get(name, default) not in allowed:
            yield f"{name} is {config[name]!r}, the decoder has {allowed[0]!r}"
    if layout.name == "llama" and bool(config.get("attention_bias")) != bool(config.get("mlp_bias")):
        yield "attention_bias and mlp_bias differ, the decoder has biases in both or in none"
    if layout.name == "qwen3" and config.get("attention_bias"):
        yield "attention_bias is true, the decoder has no biases with qk_norm"
    types = set(config.get("layer_types") or ["full_attention"])
    if types != {"full_attention"}:
        yield f"layer_types are {sorted(types)}, the decoder has full attention in every block"
    rope = _rope(config)
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind != "default":
        yield f"rope_type is {kind!r}, the decoder turns by plain frequencies"
    if config.get("partial_rotary_factor", rope.get("partial_rotary_factor", 1.0)) != 1.0:
        yield "partial_rotary_factor is not 1, the decoder turns whole heads"


def _rope(config: Mapping[str, Any]) -> Mapping[str, Any]:
    return config.get("rope_parameters") or config.get("rope_scaling") or {}


def _llama_options(config: Mapping[str, Any], layout: Layout) -> DecoderOptions:
    heads = int(config["num_attention_heads"])
    width = int(config["hidden_size"])
    head_width = int(config.get("head_dim") or width // heads)
    kv_heads = int(config.get("num_key_value_heads") or heads)
    biases = "all" if layout.name == "llama" and config.get("attention_bias") else layout.biases
    return DecoderOptions(
        layers=int(config["num_hidden_layers"]),
        width=width,
        heads=heads,
        kv_heads=None if kv_heads == heads else kv_heads,
        width_per_head=None if head_width * heads == width else head_width,
        ffn_width=int(config["intermediate_size"]),
        context_length=int(config["max_position_embeddings"]),
        biases=biases,
        qk_norm=layout.qk_norm,
        tied_embeddings=bool(config.get("tie_word_embeddings", False)),
        scale_embeddings=False,
        rope_theta=float(_rope(config).get("rope_theta", config.get("rope_theta", 10000.0))),
        norm_eps=float(config["rms_norm_eps"]),
    )


def _gpt2_options(config: Mapping[str, Any]) -> DecoderOptions:
    return DecoderOptions(
        layers=int(config["n_layer"]),
        width=int(config["n_embd"]),
        heads=int(config["n_head"]),
        ffn_width=int(config.get("n_inner") or 4 * int(config["n_embd"])),
        context_length=int(config["n_positions"]),
        positions="learned",
        activation=_GELUS[config.get("activation_function", "gelu_new")],
        norm="layer",
        biases="all",
        tied_embeddings=bool(config.get("tie_word_embeddings", True)),
        scale_embeddings=False,
        norm_eps=float(config.get("layer_norm_epsilon", 1e-5)),
    )


def _llama_sources(options: DecoderOptions) -> Iterator[tuple[str, Source]]:
    queries, keys = options.heads * options.head_width, options.num_kv_heads * options.head_width
    inner = options.inner_width
    yield "embedding.weight", _plain("model.embed_tokens.weight")
    yield "norm_gain", _plain("model.norm.weight")
    for index in range(options.layers):
        ours, theirs = f"blocks.{index}", f"model.layers.{index}"
        attention, ffn = f"{theirs}.self_attn", f"{theirs}.mlp"
        yield f"{ours}.attention_in.gain", _plain(f"{theirs}.input_layernorm.weight")
        yield f"{ours}.ffn_in.gain", _plain(f"{theirs}.post_attention_layernorm.weight")
        if options.qk_norm:
            yield f"{ours}.query_norm.gain", _plain(f"{attention}.q_norm.weight")
            yield f"{ours}.key_norm.gain", _plain(f"{attention}.k_norm.weight")
        for kind in ("weight", *(["bias"] if options.biases != "none" else [])):
            stacked = tuple(f"{attention}.{part}_proj.{kind}" for part in "qkv")
            yield f"{ours}.attention_in.{kind}", Source(stacked, (queries, keys, keys))
        for kind in ("weight", *(["bias"] if options.biases == "all" else [])):
            pair = (f"{ffn}.gate_proj.{kind}", f"{ffn}.up_proj.{kind}")
            yield f"{ours}.attention_out.{kind}", _plain(f"{attention}.o_proj.{kind}")
            yield f"{ours}.ffn_in.{kind}", Source(pair, (inner, inner))
            yield f"{ours}.ffn_out.{kind}", _plain(f"{ffn}.down_proj.{kind}")


def _gpt2_sources(options: DecoderOptions) -> Iterator[tuple[str, Source]]:
    yield "embedding.weight", _plain("transformer.wte.weight")
    yield "places.weight", _plain("transformer.wpe.weight")
    yield "norm_gain", _plain("transformer.ln_f.weight")
    yield "norm_shift", _plain("transformer.ln_f.bias")
    matrices = {
        "attention_in": "attn.c_attn",
        "attention_out": "attn.c_proj",
        "ffn_in": "mlp.c_fc",
        "ffn_out": "mlp.c_proj",
    }
    for index in range(options.layers):
        ours, theirs = f"blocks.{index}", f"transformer.h.{index}"
        for part, norm in (("attention_in", "ln_1"), ("ffn_in", "ln_2")):
            yield f"{ours}.{part}.gain", _plain(f"{theirs}.{norm}.weight")
            yield f"{ours}.{part}.shift", _plain(f"{theirs}.{norm}.bias")
        for part, name in matrices.items():
            yield f"{ours}.{part}.weight", Source((f"{theirs}.{name}.weight",), (-1,), transposed=True)
            yield f"{ours}.{part}.bias", _plain(f"{theirs}.{name}.bias")


def _plain(name: str) -> Source:
    return Source((name,), (-1,))

"""Options of adapters: what is refused, and how a decoder refuses what it cannot have, before anything is read."""

from __future__ import annotations

import math

import pytest

from codex_core.planning.structuring import structure
from codex_models.lora_names import projections, target_names
from codex_models.lora_options import LoraOptions
from codex_models.options import DecoderOptions

HERE = {"weights": "nowhere"}

REFUSED = {
    "rank": ({"r": -1}, "model.lora.r", "r must be at least 1; got -1"),
    "no rank": ({"r": 0}, "model.lora.r", "r must be at least 1; got 0"),
    "typo": ({"alhpa": 16}, "model.lora.alhpa", "unknown key 'alhpa'"),
    "dropout": ({"dropout": 1.0}, "model.lora.dropout", "dropout must be at most 0.9; got 1.0"),
    "bias": ({"bias": "some"}, "model.lora.bias", "bias must be one of none, all, lora_only; got 'some'"),
    "task": ({"task_type": "SEQ_CLS"}, "model.lora.task_type", "task_type must be one of CAUSAL_LM"),
    "target": ({"targets": ["q"]}, "model", "lora.targets names 'q'; this model has q_proj, k_proj"),
    "no target": ({"targets": []}, "model.lora", "targets must name matrices, each once; got []"),
    "bare target": ({"targets": "q_proj"}, "model.lora", "targets must be all-linear or a list of names"),
    "twice": ({"targets": ["q_proj", "q_proj"]}, "model.lora", "targets must name matrices, each once"),
    "no biases": (
        {"bias": "all"},
        "model",
        "lora.bias=all would train biases, and with biases: none there are none",
    ),
}


@pytest.mark.parametrize(("lora", "path", "what"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_meant_is_refused_with_its_path(lora, path, what):
    """A mistake names the key it stands at, and no weights are looked for."""
    built, mistakes = structure(DecoderOptions, {**HERE, "lora": lora}, "model")
    assert built is None
    assert [(mistake.path, mistake.what[: len(what)]) for mistake in mistakes] == [(path, what)]


def test_an_adapter_needs_weights_to_adapt():
    """An adapter over a model that was never trained is refused."""
    built, mistakes = structure(DecoderOptions, {"lora": {}}, "model")
    assert built is None and "set weights" in mistakes[0].what


def test_layer_norm_keeps_its_shifts():
    """`bias: all` on a LayerNorm decoder would train more than matrices' biases, so it is refused by name."""
    shape = {"norm": "layer", "biases": "all", "activation": "gelu", "context_length": 8}
    _, mistakes = structure(DecoderOptions, {**HERE, **shape, "lora": {"bias": "all"}}, "model")
    assert "use lora_only" in mistakes[0].what
    built, _ = structure(DecoderOptions, {**HERE, **shape, "lora": {"bias": "lora_only"}}, "model")
    assert built is not None


def test_defaults_are_those_of_the_reference():
    """r 8, alpha 16, no dropout, no biases, every matrix inside blocks, for causal language models."""
    lora = LoraOptions()
    assert (lora.r, lora.alpha, lora.dropout, lora.bias, lora.task_type) == (
        8,
        16.0,
        0.0,
        "none",
        "CAUSAL_LM",
    )
    assert lora.targets_among(target_names(DecoderOptions())) == target_names(DecoderOptions())


def test_scale_is_alpha_over_rank_or_its_root():
    """rsLoRA divides by the root of the rank."""
    assert LoraOptions(r=16, alpha=8).scale == 0.5
    assert LoraOptions(r=16, alpha=8, rslora=True).scale == 8 / math.sqrt(16)


@pytest.mark.parametrize(
    "options",
    [
        DecoderOptions(),
        DecoderOptions(heads=4, kv_heads=2, biases="qkv"),
        DecoderOptions(activation="gelu", norm="layer", biases="all"),
    ],
    ids=["llama", "grouped", "gpt2"],
)
def test_projections_cover_each_matrix_once(options):
    """The rows of the projections of a matrix are all of its rows, in order."""
    heights = {
        "attention_in": options.attention_rows,
        "attention_out": options.width,
        "ffn_in": options.ffn_rows,
        "ffn_out": options.width,
    }
    for name, held in projections(options).items():
        edges = [edge for one in held for edge in one.rows]
        assert edges[0] == 0 and edges[-1] == heights[name]
        assert edges[1:-1:2] == edges[2::2]

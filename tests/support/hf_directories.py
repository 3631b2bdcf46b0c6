"""Tiny Hugging Face directories with random weights, made by transformers itself; importing this needs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers

VOCAB_SIZE = 29

COMMON = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 24,
    "vocab_size": VOCAB_SIZE,
    "max_position_embeddings": 32,
    "bos_token_id": 1,
    "eos_token_id": 2,
}

#: One architecture each, with what is special to it.
CONFIGS: dict[str, dict[str, Any]] = {
    "llama": {**COMMON, "model_type": "llama", "rope_theta": 500.0},
    "llama-biased": {**COMMON, "model_type": "llama", "attention_bias": True, "mlp_bias": True},
    "qwen2": {**COMMON, "model_type": "qwen2", "tie_word_embeddings": True},
    "qwen3": {**COMMON, "model_type": "qwen3", "head_dim": 12},
    "gpt2": {
        "model_type": "gpt2",
        "n_embd": 16,
        "n_layer": 2,
        "n_head": 4,
        "vocab_size": VOCAB_SIZE,
        "n_positions": 32,
        "bos_token_id": 1,
        "eos_token_id": 2,
    },
}


def causal_model(name: str, *, seed: int = 0, **changes: Any) -> Any:
    """A model of `CONFIGS[name]` whose every parameter is random and large enough to matter."""
    values = {**CONFIGS[name], **changes}
    config = transformers.AutoConfig.for_model(values.pop("model_type"), **values)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            near = 1.0 if parameter.dim() == 1 and name.endswith("weight") else 0.0
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / 4 + near)
    return model


def other_architecture(folder: Path, model_type: str, **changes: Any) -> Path:
    """A directory of an architecture that the decoder does not read, with random weights."""
    config = transformers.AutoConfig.for_model(model_type, **{**COMMON, "pad_token_id": 0, **changes})
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(std=0.3, generator=generator)
    model.save_pretrained(folder)
    return folder


def directory(folder: Path, name: str = "llama", *, seed: int = 0, **changes: Any) -> Path:
    """The directory that `save_pretrained` writes for such a model."""
    causal_model(name, seed=seed, **changes).save_pretrained(folder)
    return folder


def edit_config(folder: Path, **changes: Any) -> Path:
    """Change the configuration of a directory."""
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return folder

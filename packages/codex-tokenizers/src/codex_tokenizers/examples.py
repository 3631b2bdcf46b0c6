"""What the conformance suites try the tokenizers of this distribution with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from codex_core.canonical import readable_json
from codex_tokenizers.byte_alphabet import BYTES

#: A model's folder, as small as it can be: bytes, two merges, one special token with two roles.
_EOS = "<|endoftext|>"


def examples(folder: Path) -> dict[str, dict[str, Any]]:
    """Examples by `kind/name`; their files are written into the empty `folder`."""
    write_model_folder(folder)
    return {
        "tokenizers/bpe": {"options": {"vocab_size": 300}},
        "tokenizers/sentencepiece": {"options": {"vocab_size": 330, "coverage": 1.0}},
        "tokenizers/hf": {"options": {"path": str(folder)}},
        "tokenizers/whitespace": {"options": {"vocab_size": 40}},
    }


def write_model_folder(folder: Path, *, template: str | None = None) -> None:
    """The tokenizer files of a model, as `transformers` writes them: a byte-level BPE of 259 ids."""
    tokens = [*sorted(BYTES), "he", "Ġt", _EOS]
    added = {"id": 258, "content": _EOS, "special": True, "single_word": False}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    described = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{**added, "lstrip": False, "rstrip": False, "normalized": False}],
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": None,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {token: id for id, token in enumerate(tokens)},
            "merges": [["h", "e"], ["Ġ", "t"]],
        },
    }
    eos = {"__type": "AddedToken", **added, "lstrip": False, "rstrip": False, "normalized": False}
    del eos["id"]
    config = {"bos_token": _EOS, "eos_token": eos}
    if template is not None:
        config["chat_template"] = template
    (folder / "tokenizer.json").write_text(json.dumps(described), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(readable_json(config), encoding="utf-8")

"""The tokenizer of a model as files that transformers loads: `tokenizer.json` and `tokenizer_config.json`.

Decisions: a tokenizer whose artefact has a `tokenizer.json` keeps its vocabulary and rules, a tokenizer of bytes is
spelt out as one; both get a rule that puts BOS in front, because that is what the model was trained with; nothing
is said of roles that the tokenizer does not have. No library of tokenizers is needed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codex_core.canonical import readable_json
from codex_core.contracts import Tokenizer
from codex_core.errors import InputError

TOKENIZER = "tokenizer.json"
_TEMPLATE = "chat_template.jinja"

#: The artefact of the tokenizer `bytes`.
_BYTES = "bytes.json"


def write(folder: Path, *, artefact: Path, tokenizer: Tokenizer, context_length: int | None) -> None:
    """Write the files into `folder`; raises `InputError` for a tokenizer that transformers has no form for."""
    described = _described(artefact, tokenizer)
    spelt = {role: _spelling(described, number) for role, number in tokenizer.special_ids.items()}
    described["post_processor"] = _bos_in_front(spelt["bos"], tokenizer.special_ids["bos"])
    described["truncation"] = described["padding"] = None
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        **({"model_max_length": context_length} if context_length else {}),
        **{f"{role}_token": token for role, token in sorted(spelt.items())},
    }
    (folder / TOKENIZER).write_text(readable_json(described), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(readable_json(config), encoding="utf-8")
    if (artefact / _TEMPLATE).is_file():
        (folder / _TEMPLATE).write_bytes((artefact / _TEMPLATE).read_bytes())


def _described(artefact: Path, tokenizer: Tokenizer) -> dict[str, Any]:
    if (artefact / TOKENIZER).is_file():
        held: dict[str, Any] = json.loads((artefact / TOKENIZER).read_bytes())
        return held
    if (artefact / _BYTES).is_file():
        return _bytes_described(tokenizer.special_ids)
    raise InputError(
        code="MOD-017",
        what="the tokenizer of this model cannot be written as files that transformers loads",
        where=str(artefact),
        why=f"it has no {TOKENIZER}",
        fix="codex checkpoint export keeps model and tokenizer in the format of Codex",
    )


def _spelling(described: Mapping[str, Any], number: int) -> str:
    """How a special id is spelt in the file."""
    added = {int(token["id"]): str(token["content"]) for token in described.get("added_tokens", ())}
    vocabulary = described["model"].get("vocab", {})
    if number in added:
        return added[number]
    return next(str(token) for token, held in vocabulary.items() if held == number)


def _bos_in_front(bos: str, number: int) -> dict[str, Any]:
    """The rule that gives `[bos, *ids]` for a text, without EOS: what a model is given to continue."""
    first = {"SpecialToken": {"id": bos, "type_id": 0}}
    second = {"SpecialToken": {"id": bos, "type_id": 1}}
    text = {name: {"Sequence": {"id": name, "type_id": index}} for index, name in enumerate("AB")}
    return {
        "type": "TemplateProcessing",
        "single": [first, text["A"]],
        "pair": [first, text["A"], second, text["B"]],
        "special_tokens": {bos: {"id": bos, "ids": [number], "tokens": [bos]}},
    }


def _bytes_described(special_ids: Mapping[str, int]) -> dict[str, Any]:
    """One token per byte, in the alphabet that stands for bytes, and no merges."""
    spelt: dict[int, str] = {}
    for role, number in special_ids.items():
        spelt.setdefault(number, f"<|{role}|>")
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": number,
                "content": token,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for number, token in sorted(spelt.items())
        ],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "ByteLevel",
            "add_prefix_space": False,
            "trim_offsets": False,
            "use_regex": False,
        },
        "post_processor": None,
        "decoder": {
            "type": "ByteLevel",
            "add_prefix_space": False,
            "trim_offsets": False,
            "use_regex": False,
        },
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {character: byte for byte, character in enumerate(byte_alphabet())}
            | {token: number for number, token in spelt.items()},
            "merges": [],
        },
    }


def byte_alphabet() -> list[str]:
    """The printable character that stands for each byte in byte-level vocabularies, by byte.

    >>> "".join(byte_alphabet()[32:36])
    'Ġ!"#'
    """
    shown = {*range(33, 127), *range(161, 173), *range(174, 256)}
    beyond = iter(range(256, 512))
    return [chr(byte if byte in shown else next(beyond)) for byte in range(256)]

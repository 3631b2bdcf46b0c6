"""The tokenizer files of a model folder: what is in them, and nothing of it executed or fetched.

Decisions: roles come from `tokenizer_config.json`, then `special_tokens_map.json`, then from what the user says; a
role is never guessed from a spelling. The chat template is that of `chat_template.jinja`, else the configuration's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from codex_core.errors import InputError
from codex_tokenizers.artefact import TOKENIZER_NAME

ROLES = ("bos", "eos", "pad", "unk")


@attrs.frozen(kw_only=True)
class HFFiles:
    """The text of `tokenizer.json`, spellings by role, and the source of the chat template, if there is one."""

    tokenizer_json: str
    roles: Mapping[str, str]
    template: str | None


def read(path: Path) -> HFFiles:
    """The files at `path`, a folder or a `tokenizer.json`; raises `InputError` for what cannot be read."""
    folder = path if path.is_dir() else path.parent
    file = path / TOKENIZER_NAME if path.is_dir() else path
    try:
        text = file.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise unusable(file, str(error)) from error
    _object(file)
    described = _optional(folder / "tokenizer_config.json")
    mapped = _optional(folder / "special_tokens_map.json")
    spelt = {
        role: _spelling(described.get(f"{role}_token")) or _spelling(mapped.get(f"{role}_token"))
        for role in ROLES
    }
    return HFFiles(
        tokenizer_json=text,
        roles={role: spelling for role, spelling in spelt.items() if spelling},
        template=_template(folder, described),
    )


def unusable(path: Path, why: str) -> InputError:
    """The error for files that hold no tokenizer."""
    return InputError(
        code="TOK-016",
        what="this is no tokenizer of Hugging Face `tokenizers`",
        where=str(path),
        why=why,
        fix="name a folder with tokenizer.json, or such a file",
    )


def _template(folder: Path, described: Mapping[str, Any]) -> str | None:
    file = folder / "chat_template.jinja"
    if file.is_file():
        try:
            return file.read_bytes().decode()
        except (OSError, UnicodeDecodeError) as error:
            raise unusable(file, str(error)) from error
    said = described.get("chat_template")
    if isinstance(said, list):  # several, by name: the one called `default` is for chats without tools
        said = {str(one.get("name")): one.get("template") for one in said if isinstance(one, dict)}.get(
            "default"
        )
    return said if isinstance(said, str) else None


def _spelling(value: Any) -> str | None:
    if isinstance(value, dict):
        value = value.get("content")
    return value if isinstance(value, str) else None


def _optional(path: Path) -> dict[str, Any]:
    return _object(path) if path.is_file() else {}


def _object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise unusable(path, str(error)) from error
    if not isinstance(value, dict):
        raise unusable(path, "it holds no JSON object")
    return value

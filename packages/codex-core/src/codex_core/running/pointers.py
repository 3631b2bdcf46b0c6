"""Pointers to checkpoints: small files for people and scripts, which no loader follows.

`last.json` names the newest verified checkpoint, `best-<metric>.json` the best one. They are replaced whole, never
links, moved only after the checkpoint they name is durable and has verified, and before anything is pruned.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codex_core.canonical import readable_json
from codex_core.files import Files, write_atomic

LAST = "last.json"
BEST = "best-{}.json"

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def best_name(metric: str) -> str:
    """The file that names the best checkpoint by a metric.

    >>> best_name("bits per byte")
    'best-bits-per-byte.json'
    """
    return BEST.format(_UNSAFE.sub("-", metric))


def read(path: Path) -> dict[str, Any] | None:
    """What a pointer says, None when there is none; `ValueError` or `OSError` when it cannot be read."""
    try:
        held = json.loads(path.read_bytes())
        return {**held, "step": int(held["step"]), "path": str(held["path"])}
    except FileNotFoundError:
        return None
    except (TypeError, KeyError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from None


def move(path: Path, content: Mapping[str, Any] | None, *, files: Files) -> None:
    """Let a pointer say `content`; None removes it. A pointer that says it already is left alone."""
    if content is None:
        if path.exists():
            files.remove(path)
        return
    text = readable_json(content)
    try:
        if path.read_text(encoding="utf-8") == text:
            return
    except (OSError, ValueError):  # absent or unreadable: written anew
        pass
    write_atomic(path, text, files=files)

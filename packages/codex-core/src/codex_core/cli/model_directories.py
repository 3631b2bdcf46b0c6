"""Hugging Face directories as references: what `generate` and `evaluate` open beside runs and checkpoints.

Decisions: such a directory is opened by the components `hf-causal` and `hf`, whoever provides them; it has no run
and no data of its own, and says so by leaving them empty.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from codex_core.checkpoints import Checkpoint
from codex_core.cli.session import Session
from codex_core.contracts import Tokenizer
from codex_core.errors import InputError
from codex_core.running import checkpoint_files as form

CONFIG = "config.json"
MODEL, TOKENIZER = "hf-causal", "hf"

#: What such a directory says in place of a manifest.
FORMAT = "hugging-face-directory"


def is_directory(path: Path) -> bool:
    """Tell whether a path is a directory of transformers rather than a folder of ours."""
    return (path / CONFIG).is_file() and not (path / form.MANIFEST).exists()


def as_checkpoint(path: Path) -> Checkpoint:
    """The directory in the shape of a checkpoint: no step, no run, no data."""
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "step": 0,
        "components": {"model": {"id": MODEL}, "tokenizer": {"id": TOKENIZER}},
        "data": {"fingerprint": None, "manifest_digest": None},
        "metrics": {},
    }
    return Checkpoint(path=path, manifest=manifest, digest="", state={})


def load_tokenizer(session: Session, path: Path) -> Tokenizer:
    """The tokenizer of such a directory."""
    row = session.registry.find("tokenizers", TOKENIZER)
    options: Any = session.registry.options_class(row)
    tokenizer: Tokenizer = session.registry.load(row).train((), options(path=str(path)), seed=0)
    return tokenizer


def require_some_model(path: Path) -> None:
    """Raise `InputError` for a folder in which nothing looks like a model, with all that was looked for."""
    known = (form.MANIFEST, "run.json", "checkpoints", CONFIG)
    is_step = form.step_of(path) is not None or any(
        form.step_of(inner) is not None for inner in path.iterdir()
    )
    if is_step or any((path / name).exists() for name in known):
        return
    raise InputError(
        code="CKP-001",
        what="there is no model in this folder",
        where=str(path),
        why="a run has checkpoints/, a checkpoint or model of Codex MANIFEST.json, a Hugging Face directory "
        f"{CONFIG}, model.safetensors and tokenizer.json",
        fix="codex model list, or codex model check DIR",
    )

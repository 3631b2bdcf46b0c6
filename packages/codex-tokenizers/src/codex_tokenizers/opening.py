"""A tokenizer by its name or folder, whatever kind it is.

Decisions: the name comes from the command line, else from `CODEX_TOKENIZER`, else it is `default`; where it is looked
for, `codex_core.catalogue` says; a kind that learns nothing (`bytes`) needs no folder. What a folder holds is told by
its manifest; a `tokenizer.json` without one is a model's.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codex_core.catalogue import find_tokenizer
from codex_core.contracts import Tokenizer
from codex_core.errors import CodexError, InputError, UsageError
from codex_core.places import Places
from codex_tokenizers import artefact
from codex_tokenizers.options import HFOptions
from codex_tokenizers.samples import BACKENDS

VARIABLE = "CODEX_TOKENIZER"
DEFAULT = "default"

#: What one kind of ours has: a choice of what encodes.
_WITH_BACKENDS = "bpe"


def open_tokenizer(
    named: str | None, *, registry: Any, places: Places, environ: Mapping[str, str], backend: str = "auto"
) -> Tokenizer:
    """The tokenizer of a name, a folder or a `tokenizer.json`; raises `InputError` with every tried place."""
    name = named or environ.get(VARIABLE) or DEFAULT
    if name == "bytes":
        tokenizer: Tokenizer = registry.load(registry.find("tokenizers", name, usable=True)).train(
            [], None, seed=0
        )
        return _with_backend(tokenizer, backend)
    try:
        path = find_tokenizer(name, base=Path(), places=places, environ=environ)
    except InputError as error:
        raise InputError(
            code=error.code,
            what=error.what,
            where=error.where,
            why=f"{error.why}; {_chosen(named, environ)}",
            fix="--tokenizer FOLDER, or codex tokenizer train --config t.yaml",
        ) from error
    return load(path, registry=registry, backend=backend)


def load(path: Path, *, registry: Any, backend: str = "auto") -> Tokenizer:
    """The tokenizer that was saved at `path`, of any installed kind."""
    kind = artefact.kind_of(path) if path.is_dir() else None
    if kind is not None:
        row = registry.find("tokenizers", f"codex-tokenizers/{kind}", usable=True)
        target = registry.load(row)
        if kind == _WITH_BACKENDS:
            tokenizer: Tokenizer = target.load(path, backend=backend)
            return tokenizer
        return _with_backend(target.load(path), backend)
    if path.is_file() or (path / artefact.TOKENIZER_NAME).is_file():
        row = registry.find("tokenizers", "codex-tokenizers/hf", usable=True)
        return _with_backend(registry.load(row).take(HFOptions(path=str(path))), backend)
    return _with_backend(_of_another_kind(path, registry), backend)


def _of_another_kind(path: Path, registry: Any) -> Tokenizer:
    """What the first tokenizer of another distribution makes of the folder."""
    tried = []
    for row in registry.of_kind("tokenizers"):
        if row.usable and row.dist != "codex-tokenizers":
            try:
                tokenizer: Tokenizer = registry.load(row).load(path)
            except CodexError as error:
                tried.append(f"{row.id}: {error.what}")
                continue
            return tokenizer
    raise artefact.refusal(path, "; ".join(["it holds no codex-tokenizer.json", *tried]))


def _with_backend(tokenizer: Tokenizer, backend: str) -> Tokenizer:
    """The tokenizer, when it has the backend that was asked for."""
    own = getattr(tokenizer, "backend", None)
    if backend not in ("auto", own):
        raise UsageError(
            code="TOK-008",
            what=f"this tokenizer has no backend {backend!r}",
            why=f"it has {own!r} alone; {', '.join(BACKENDS[1:])} are those of bpe",
            fix="leave --backend out",
        )
    return tokenizer


def _chosen(named: str | None, environ: Mapping[str, str]) -> str:
    if named:
        return "named by --tokenizer"
    return (
        f"named by {VARIABLE}" if environ.get(VARIABLE) else f"neither --tokenizer nor {VARIABLE} names one"
    )


def environment() -> Mapping[str, str]:
    """The environment of this process, for the edge where commands begin."""
    return os.environ

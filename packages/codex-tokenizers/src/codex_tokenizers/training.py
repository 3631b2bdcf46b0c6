"""Learning a tokenizer by its recipe: the plan, the work, and the manifest that is written last.

Decisions: the folder appears whole under its name or not at all, and a former one is brought back when replacing it
was killed half-way; the manifest holds nothing that another run, place
or machine would change, so that two trainings of the same inputs give the same bytes; its digest covers the recipe,
the corpus and every file of the tokenizer.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from codex_core.canonical import digest_of, file_digest, readable_json
from codex_core.contracts import Tokenizer
from codex_core.errors import InputError
from codex_core.files import OS_FILES, write_atomic
from codex_tokenizers.corpus import CHUNK_BYTES, Corpus
from codex_tokenizers.recipe import Recipe

MANIFEST_NAME = "manifest.json"
MANIFEST_FORMAT = "codex-tokenizer-training/1"


def plan(recipe: Recipe) -> dict[str, Any]:
    """What `train` would do, as plain values; reads no text."""
    sizes = [(recipe.relative(path), _size(path)) for path in recipe.files()]
    return {
        "out": Path(os.path.relpath(recipe.out)).as_posix(),
        "recipe": recipe.described,
        "files": [{"path": name, "bytes": size} for name, size in sizes],
        "bytes": sum(size for _, size in sizes),
    }


def train(
    recipe: Recipe,
    *,
    chunk_bytes: int = CHUNK_BYTES,
    replace: bool = False,
    on_bytes: Callable[[int], None] = lambda done: None,
) -> dict[str, Any]:
    """Learn and write the tokenizer; returns the manifest.

    Raises `InputError` when the folder exists and is not to be replaced, or cannot be written.
    """
    restore(recipe.out)
    if recipe.out.exists() and not replace:
        raise _unwritable(recipe.out, "it exists already", "name another folder, or replace it with --force")
    paths = [(recipe.relative(path), path) for path in recipe.files()]
    corpus = Corpus(paths, field=recipe.field, chunk_bytes=chunk_bytes, on_bytes=on_bytes)
    tokenizer: Tokenizer = recipe.target.train(iter(corpus), recipe.options, seed=recipe.seed)
    for _ in corpus if not corpus.files else ():
        pass  # a kind that learns nothing leaves the corpus unread; its digests are wanted all the same
    try:
        return _commit(recipe, tokenizer, corpus)
    except OSError as error:
        raise _unwritable(
            recipe.out, error.strerror or str(error), "free the disk, or name another folder"
        ) from error


def restore(out: Path) -> None:
    """Bring back the former tokenizer of a folder whose replacing was killed between its two renames."""
    former = sorted(out.parent.glob(f".{out.name}.old-*")) if not out.exists() else []
    if former:
        former[-1].rename(out)


def _commit(recipe: Recipe, tokenizer: Tokenizer, corpus: Corpus) -> dict[str, Any]:
    recipe.out.parent.mkdir(parents=True, exist_ok=True)
    temporary = recipe.out.with_name(f".{recipe.out.name}.tmp-{os.getpid()}")
    former = recipe.out.with_name(f".{recipe.out.name}.old-{os.getpid()}")
    temporary.mkdir()
    try:
        tokenizer.save(temporary)
        manifest = _manifest(recipe, tokenizer, corpus, temporary)
        write_atomic(temporary / MANIFEST_NAME, readable_json(manifest))
        if recipe.out.exists():
            recipe.out.rename(former)
        temporary.rename(recipe.out)
        OS_FILES.sync_folder(recipe.out.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if former.exists() and recipe.out.exists():
            shutil.rmtree(former)
    return manifest


def _manifest(recipe: Recipe, tokenizer: Tokenizer, corpus: Corpus, folder: Path) -> dict[str, Any]:
    described: dict[str, Any] = {
        "format": MANIFEST_FORMAT,
        "recipe": recipe.described,
        "inputs": inputs_of(recipe),
        "corpus": [{"path": one.path, "bytes": one.bytes, "sha256": one.sha256} for one in corpus.files],
        "tokenizer": {
            "id": recipe.id,
            "fingerprint": tokenizer.fingerprint(),
            "vocab_size": tokenizer.vocab_size,
            "lossless": tokenizer.lossless,
            "files": {path.name: file_digest(path) for path in sorted(folder.iterdir())},
        },
    }
    return {
        **described,
        "digest": digest_of(described),
        "base": Path(os.path.relpath(recipe.base, recipe.out.absolute())).as_posix(),
    }


def inputs_of(recipe: Recipe) -> Mapping[str, str]:
    """Digests of further files that the recipe's options name."""
    inputs = getattr(recipe.target, "inputs", None)
    return dict(inputs(recipe.options)) if inputs is not None else {}


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise InputError(
            code="TOK-019",
            what="a text to learn from cannot be read",
            where=str(path),
            why=error.strerror,
            fix="bring the file back, or take it out of `corpus`",
        ) from error


def _unwritable(folder: Path, why: str, fix: str) -> InputError:
    return InputError(
        code="TOK-020", what="the tokenizer cannot be written", where=str(folder), why=why, fix=fix
    )

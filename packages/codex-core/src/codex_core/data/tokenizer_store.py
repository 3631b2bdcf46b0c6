"""Stage two of preparing: the tokenizer of a plan, learned from the training split or taken from a folder.

Decisions: a learned tokenizer is stored under what it was learned from (texts, component, options, seed), one
that was taken from a folder under its fingerprint; either way it is used only after it was read back from the
store, so that a first and a second run use the same object.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs

from codex_core.canonical import digest_of
from codex_core.contracts import Tokenizer
from codex_core.data.columns import writing
from codex_core.data.components import Found
from codex_core.data.store import Stored, damaged, folder_of, obtain
from codex_core.files import OS_FILES, Files

FORMAT = "codex-tokenizer-folder/1"

ARTEFACT = "artefact"

#: Raised by hand whenever this stage would give another tokenizer for the same identity.
STAGE_VERSION = 1


@attrs.frozen(kw_only=True)
class StoredTokenizer:
    """A tokenizer at hand, the folder that `load` reads it from, and what is known of it."""

    id: str
    tokenizer: Tokenizer
    stored: Stored
    was_there: bool
    target: Any = None

    @property
    def dtype(self) -> str:
        """The type of stored ids."""
        return "uint16" if self.tokenizer.vocab_size <= 1 << 16 else "uint32"

    @property
    def path(self) -> Path:
        """What the tokenizer's `load` reads."""
        return self.stored.path / ARTEFACT


def learn(
    found: Found,
    texts: Iterable[str],
    *,
    texts_fingerprint: str,
    plain_options: Mapping[str, Any],
    seed: int,
    store: Path,
    files: Files = OS_FILES,
) -> StoredTokenizer:
    """The tokenizer learned from `texts`, from the store when it was learned before."""
    identity = {
        "stage": f"tokenizer/{STAGE_VERSION}",
        "id": found.id,
        "version": found.version,
        "options": dict(plain_options),
        "seed": seed,
        "texts": texts_fingerprint,
    }
    inputs = getattr(found.target, "inputs", None)  # optional: digests of files that the options name
    if inputs is not None and (digests := inputs(found.options)):
        identity["inputs"] = dict(digests)
    return _obtain(
        found, identity, lambda: found.target.train(texts, found.options, seed=seed), store=store, files=files
    )


def take(found: Found, folder: Path, *, store: Path, files: Files = OS_FILES) -> StoredTokenizer:
    """The tokenizer that was saved in `folder`, copied into the store."""
    tokenizer = taken(found, folder)
    identity = {
        "stage": f"tokenizer/{STAGE_VERSION}",
        "id": found.id,
        "fingerprint": tokenizer.fingerprint(),
    }
    return _obtain(found, identity, lambda: tokenizer, store=store, files=files)


def taken(found: Found, folder: Path) -> Tokenizer:
    """The tokenizer that was saved in `folder`.

    A class may offer `take(options)`, for options that change what is taken, such as a chat template.
    """
    taking = getattr(found.target, "take", None)
    tokenizer: Tokenizer = found.target.load(folder) if taking is None else taking(found.options)
    return tokenizer


def _obtain(
    found: Found, identity: Mapping[str, Any], make: Any, *, store: Path, files: Files
) -> StoredTokenizer:
    fingerprint = digest_of(identity)

    def fill(folder: Path) -> dict[str, Any]:
        tokenizer: Tokenizer = make()
        with writing(folder):
            files.make_folder(folder / ARTEFACT)
            files.produce(folder / ARTEFACT, tokenizer.save)
        return {
            "identity": identity,
            "tokenizer": {"id": found.id, "fingerprint": tokenizer.fingerprint()},
        }

    path = folder_of(store, "tokenizers", fingerprint)
    stored, was_there = obtain(path, fill, fingerprint=fingerprint, format=FORMAT, files=files)
    tokenizer: Tokenizer = found.target.load(stored.path / ARTEFACT)
    expected = stored.manifest["tokenizer"]["fingerprint"]
    if tokenizer.fingerprint() != expected:
        raise damaged(
            stored.path / ARTEFACT,
            f"{found.id} reads it as {tokenizer.fingerprint()}, it was stored as {expected}",
        )
    return StoredTokenizer(
        id=found.id, tokenizer=tokenizer, stored=stored, was_there=was_there, target=found.target
    )

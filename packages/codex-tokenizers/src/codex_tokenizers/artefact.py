"""The files of a saved tokenizer: `tokenizer.json` for the library, `codex-tokenizer.json` to verify it by.

Decisions: the manifest is written last and names the digest of the other file, so that a half-written or edited
artefact is refused; of `tokenizer.json` only vocabulary and merges are read back, everything else is this
package's code, so that an artefact cannot bring its own normaliser.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs

from codex_core.canonical import digest_matches, readable_json, sha256_of
from codex_core.errors import ArtefactError
from codex_core.files import write_atomic

MANIFEST_NAME = "codex-tokenizer.json"
TOKENIZER_NAME = "tokenizer.json"
MANIFEST_FORMAT = "codex-tokenizer/1"


@attrs.frozen(kw_only=True, eq=False)
class Vocabulary:
    """What BPE learns: ids by token, and merges in the order in which they apply; both in the byte alphabet."""

    ids: Mapping[str, int]
    merges: tuple[tuple[str, str], ...]


def write(folder: Path, *, tokenizer_json: str, fields: Mapping[str, Any]) -> None:
    """Write both files into `folder`; `fields` are added to the manifest."""
    data = tokenizer_json.encode()
    write_atomic(folder / TOKENIZER_NAME, data)
    manifest = {"format": MANIFEST_FORMAT, "files": {TOKENIZER_NAME: sha256_of(data)}, **fields}
    write_atomic(folder / MANIFEST_NAME, readable_json(manifest))


def read(folder: Path, *, kind: str) -> tuple[Vocabulary, dict[str, Any]]:
    """The vocabulary and the manifest of a saved tokenizer; raises `ArtefactError` for anything else."""
    manifest = _json(folder / MANIFEST_NAME)
    if manifest.get("format") != MANIFEST_FORMAT or manifest.get("kind") != kind:
        raise _refusal(
            folder / MANIFEST_NAME,
            f"it says {manifest.get('format')!r} of kind {manifest.get('kind')!r}, "
            f"expected {MANIFEST_FORMAT!r} of kind {kind!r}",
        )
    path = folder / TOKENIZER_NAME
    digest = manifest.get("files", {}).get(TOKENIZER_NAME)
    if not isinstance(digest, str) or not path.is_file() or not digest_matches(path, digest):
        raise _refusal(path, "its bytes are not those that were saved")
    return _vocabulary(path), manifest


def refuse_gaps(folder: Path, vocabulary: Vocabulary, *, tokens: Iterable[str]) -> None:
    """Raise `ArtefactError` unless ids are 0, 1, 2, ..., every merge gives a token, and `tokens` are there."""
    ids = vocabulary.ids
    lacking = [token for token in tokens if token not in ids]
    lacking += [
        token
        for left, right in vocabulary.merges
        for token in (left, right, left + right)
        if token not in ids
    ]
    if lacking:
        raise _refusal(folder / TOKENIZER_NAME, f"its vocabulary lacks {lacking[0]!r}")
    if sorted(ids.values()) != list(range(len(ids))):
        raise _refusal(folder / TOKENIZER_NAME, "its ids are not consecutive from 0")


def refuse_other(folder: Path, *, found: Mapping[str, Any], manifest: Mapping[str, Any]) -> None:
    """Raise `ArtefactError` when what was read is not what the manifest names."""
    for name, value in found.items():
        if manifest.get(name) != value:
            raise _refusal(
                folder / MANIFEST_NAME,
                f"it names {name} {manifest.get(name)!r}, {TOKENIZER_NAME} gives {value!r}",
            )


def _vocabulary(path: Path) -> Vocabulary:
    model = _json(path).get("model", {})
    try:
        ids = {str(token): int(number) for token, number in model["vocab"].items()}
        merges = tuple((str(left), str(right)) for left, right in model["merges"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise _refusal(path, "it holds no byte-level BPE model") from error
    return Vocabulary(ids=ids, merges=merges)


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except OSError as error:
        raise _refusal(path, error.strerror or "it cannot be read") from error
    except ValueError as error:
        raise _refusal(path, "it is not JSON") from error
    if not isinstance(value, dict):
        raise _refusal(path, "it holds no object")
    return value


def _refusal(path: Path, why: str) -> ArtefactError:
    return ArtefactError(
        code="TOK-006",
        what="this is no usable tokenizer artefact",
        where=str(path),
        why=why,
        fix="restore the folder from where it was copied, or learn the tokenizer again",
    )

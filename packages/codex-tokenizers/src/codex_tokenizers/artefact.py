"""The files of a saved tokenizer: what its library reads, its chat template, `codex-tokenizer.json` to verify them by.

Decisions: the manifest is written last and names the digest of every other file, so that a half-written or edited
artefact is refused; of `tokenizer.json` of a learned BPE only vocabulary and merges are read back, everything else
is this package's code, so that an artefact cannot bring its own normaliser.
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


def write(folder: Path, *, files: Mapping[str, bytes], fields: Mapping[str, Any]) -> None:
    """Write files into `folder`, the manifest last; `fields` are added to it."""
    for name, data in files.items():
        write_atomic(folder / name, data)
    digests = {name: sha256_of(data) for name, data in files.items()}
    manifest = {"format": MANIFEST_FORMAT, "files": digests, **fields}
    write_atomic(folder / MANIFEST_NAME, readable_json(manifest))


def kind_of(folder: Path) -> str | None:
    """The kind that a saved tokenizer says it is; None where there is no manifest."""
    if not (folder / MANIFEST_NAME).is_file():
        return None
    return str(json_object(folder / MANIFEST_NAME).get("kind"))


def read(folder: Path, *, kind: str, name: str) -> dict[str, Any]:
    """The manifest of a saved tokenizer whose files are as they were saved, `name` among them.

    Raises `ArtefactError` for anything else.
    """
    path = folder / MANIFEST_NAME
    manifest = json_object(path)
    if manifest.get("format") != MANIFEST_FORMAT or manifest.get("kind") != kind:
        raise refusal(
            path,
            f"it says {manifest.get('format')!r} of kind {manifest.get('kind')!r}, "
            f"expected {MANIFEST_FORMAT!r} of kind {kind!r}",
        )
    files = manifest.get("files")
    if not isinstance(files, dict):
        raise refusal(path, "it names no files")
    for one, digest in {name: None, **files}.items():
        _verify(folder, one, digest)
    return manifest


def _verify(folder: Path, name: str, digest: object) -> None:
    path = folder / name
    if Path(name).name != name:
        raise refusal(folder / MANIFEST_NAME, f"it names {name!r}, which is no file of the folder")
    if not isinstance(digest, str) or not path.is_file() or not digest_matches(path, digest):
        raise refusal(path, "its bytes are not those that were saved")


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
        raise refusal(folder / TOKENIZER_NAME, f"its vocabulary lacks {lacking[0]!r}")
    if sorted(ids.values()) != list(range(len(ids))):
        raise refusal(folder / TOKENIZER_NAME, "its ids are not consecutive from 0")


def refuse_other(folder: Path, *, found: Mapping[str, Any], manifest: Mapping[str, Any]) -> None:
    """Raise `ArtefactError` when what was read is not what the manifest names."""
    for name, value in found.items():
        if manifest.get(name) != value:
            raise refusal(
                folder / MANIFEST_NAME,
                f"it names {name} {manifest.get(name)!r}, the files give {value!r}",
            )


def read_vocabulary(folder: Path) -> Vocabulary:
    """Vocabulary and merges of the folder's `tokenizer.json`."""
    path = folder / TOKENIZER_NAME
    model = json_object(path).get("model", {})
    try:
        ids = {str(token): int(number) for token, number in model["vocab"].items()}
        merges = tuple((str(left), str(right)) for left, right in model["merges"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise refusal(path, "it holds no byte-level BPE model") from error
    return Vocabulary(ids=ids, merges=merges)


def json_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file; raises `ArtefactError` when there is none."""
    try:
        value = json.loads(path.read_bytes())
    except OSError as error:
        raise refusal(path, error.strerror or "it cannot be read") from error
    except ValueError as error:
        raise refusal(path, "it is not JSON") from error
    if not isinstance(value, dict):
        raise refusal(path, "it holds no object")
    return value


def refusal(path: Path, why: str) -> ArtefactError:
    """The error for an artefact that cannot be used."""
    return ArtefactError(
        code="TOK-006",
        what="this is no usable tokenizer artefact",
        where=str(path),
        why=why,
        fix="restore the folder from where it was copied, or learn the tokenizer again",
    )

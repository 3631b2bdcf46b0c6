"""The format of a checkpoint folder: what lies in it, and how it is proved whole.

    checkpoints/step-00000040/
        model/       what `ModelClass.open` reads
        trainer/     the trainer's own payload
        tokenizer/   a copy of the tokenizer artefact
        state.json   step, position, tokens, the trainer's JSON state
        MANIFEST.json  written last: origin, parent, size and digest of every other file, and its own digest

Decisions: payload has blake3 digests, JSON files sha256; a file that the manifest does not name is refused like a
missing one; the manifest's bytes are a function of its content, so that no byte of it can change unseen.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import attrs

from codex_core.canonical import digest_of, file_digest, readable_json, sha256_of
from codex_core.contracts import SavedState
from codex_core.errors import ArtefactError

CHECKPOINT_FORMAT = "codex-checkpoint/1"

#: A model and its tokenizer alone, as `codex checkpoint export` writes them: nothing that a training could resume.
MODEL_FORMAT = "codex-model/1"
MANIFEST = "MANIFEST.json"
STATE = "state.json"
TOKENIZER = "tokenizer"

#: Where checkpoints go that do not verify.
QUARANTINE = "quarantine"

_NAME = re.compile(r"step-(\d{8,})")
_FORMATS = (CHECKPOINT_FORMAT,)


@attrs.frozen(kw_only=True)
class Checkpoint:
    """A checkpoint that verified: its folder, its manifest, and `digest`, the sha256 of the manifest's bytes."""

    path: Path
    manifest: Mapping[str, Any]
    digest: str
    state: Mapping[str, Any]

    @property
    def step(self) -> int:
        """The step after which it was saved."""
        return int(self.manifest["step"])

    @property
    def size_bytes(self) -> int:
        """Bytes of all files that the manifest names."""
        return sum(int(file["bytes"]) for file in self.manifest["files"])

    def saved_state(self) -> SavedState:
        """The checkpoint as trainers receive it."""
        return SavedState(
            path=self.path,
            step=self.step,
            position=int(self.manifest["position"]),
            tokens=int(self.manifest["tokens"]),
            state=self.state,
        )


def folder_name(step: int) -> str:
    """The folder of a step; eight digits, more when needed.

    >>> folder_name(40)
    'step-00000040'
    """
    return f"step-{step:08d}"


def step_of(path: Path) -> int | None:
    """The step of a committed checkpoint's folder; None for temporary folders and everything else."""
    match = _NAME.fullmatch(path.name)
    return int(match[1]) if match and path.name == folder_name(int(match[1])) else None


def algorithm_for(name: str) -> str:
    """The digest algorithm of a file: sha256 for JSON, which is small, blake3 for payload."""
    return "sha256" if name.endswith(".json") else "blake3"


def checked_name(name: str) -> str:
    """A payload name, when it is relative, plain and not one of the shell's own; `ValueError` otherwise."""
    path = PurePosixPath(name)
    is_plain = bool(path.parts) and str(path) == name and not path.is_absolute() and ".." not in path.parts
    if not is_plain or "\\" in name or path.parts[0] in (MANIFEST, STATE, TOKENIZER):
        raise ValueError(f"{name!r} cannot be a payload file of a checkpoint")
    return name


def manifest_bytes(content: Mapping[str, Any]) -> bytes:
    """A manifest as it is written: the content and, under `digest`, the content's digest."""
    return readable_json({**content, "digest": digest_of(content)}).encode()


def read_manifest(folder: Path, *, formats: Collection[str] = _FORMATS) -> tuple[dict[str, Any], str]:
    """The manifest of a folder and the sha256 of its bytes; raises `ArtefactError` when it was changed."""
    path = folder / MANIFEST
    try:
        data = path.read_bytes()
        manifest = json.loads(data)
    except FileNotFoundError:
        raise corrupt(folder, MANIFEST, "there is no manifest, so the save never finished") from None
    except (OSError, ValueError) as error:
        raise corrupt(folder, MANIFEST, f"it cannot be read: {error}") from None
    content = dict(manifest) if isinstance(manifest, dict) else {}
    content.pop("digest", None)
    if content.get("format") not in formats and _is_intact(content, data):
        raise _other_format(path, content)
    if not _is_intact(content, data):
        raise corrupt(folder, MANIFEST, "checksum mismatch")
    return manifest, sha256_of(data)


def _is_intact(content: Mapping[str, Any], data: bytes) -> bool:
    try:
        return manifest_bytes(content) == data
    except (ValueError, TypeError):
        return False


def _other_format(path: Path, content: Mapping[str, Any]) -> ArtefactError:
    if content.get("format") == MODEL_FORMAT:
        return ArtefactError(
            code="CKP-003",
            what="this is an exported model: it holds no optimizer and no position in the data",
            where=str(path),
            why=f"its format is {MODEL_FORMAT}, a training resumes from {CHECKPOINT_FORMAT}",
            fix="resume from the run's own checkpoint: codex checkpoint list RUN",
        )
    return ArtefactError(
        code="CKP-003",
        what=f"the checkpoint has the format {content.get('format')}",
        where=str(path),
        why=f"this version of Codex reads {CHECKPOINT_FORMAT}",
        fix="open it with the version of Codex that its manifest's environment names",
    )


def verify(folder: Path, *, formats: Collection[str] = _FORMATS) -> Checkpoint:
    """Re-read every file of a checkpoint; raises `ArtefactError` naming the first that differs."""
    manifest, digest = read_manifest(folder, formats=formats)
    named = {file["path"]: file for file in manifest["files"]}
    for name, file in named.items():
        path = folder / name
        try:
            size = path.stat().st_size
            if size != file["bytes"]:
                raise corrupt(folder, name, f"it has {size} bytes instead of {file['bytes']}")
            if file_digest(path, algorithm_for(name)) != file["digest"]:
                raise corrupt(folder, name, f"checksum mismatch ({algorithm_for(name)})")
        except OSError as error:
            raise corrupt(folder, name, error.strerror or str(error)) from None
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    if foreign := sorted(present - named.keys() - {MANIFEST}):
        raise corrupt(folder, foreign[0], "the manifest does not name this file")
    if manifest["format"] == MODEL_FORMAT:
        return Checkpoint(path=folder, manifest=manifest, digest=digest, state={})
    state = json.loads((folder / STATE).read_bytes())
    if any(state[key] != manifest[key] for key in ("step", "position", "tokens")):
        raise corrupt(folder, STATE, "it disagrees with the manifest")
    if step_of(folder) not in (None, manifest["step"]):
        raise corrupt(folder, MANIFEST, f"it is of step {manifest['step']}: the folder was renamed")
    return Checkpoint(path=folder, manifest=manifest, digest=digest, state=state["state"])


def corrupt(folder: Path, name: str, why: str) -> ArtefactError:
    """The error for a file of a checkpoint that is not what was saved."""
    return ArtefactError(
        code="CKP-002",
        what=f"the checkpoint {folder.name} is corrupt: {name}: {why}",
        where=str(folder / name),
        why="its digests are compared before anything in it is used",
        fix="resume from an older one: codex checkpoint list RUN, then codex train --resume PATH",
    )


def inspect(folder: Path) -> dict[str, Any]:
    """Everything a checkpoint says of itself, and whether it verifies (`problem` is None or a sentence)."""
    manifest, digest = read_manifest(folder, formats=(CHECKPOINT_FORMAT, MODEL_FORMAT))
    problem: str | None = None
    state: Mapping[str, Any] = {}
    try:
        state = verify(folder, formats=(CHECKPOINT_FORMAT, MODEL_FORMAT)).state
    except ArtefactError as error:
        problem = error.what
    size_bytes = sum(int(file["bytes"]) for file in manifest["files"])
    return {
        **manifest,
        "path": str(folder),
        "manifest_digest": digest,
        "size_bytes": size_bytes,
        "state": dict(state),
        "state_keys": sorted(state),
        "verified": problem is None,
        "problem": problem,
    }

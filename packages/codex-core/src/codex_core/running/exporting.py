"""A model and its tokenizer taken out of a checkpoint: a folder that opens by itself.

Decisions: it is written beside its place, synced, renamed and verified like a checkpoint, and has a manifest of the
format `codex-model/1`, which no training resumes from: no optimizer, no position, and where it came from by digest.
"""

from __future__ import annotations

import secrets
import shutil
from functools import partial
from pathlib import Path

from codex_core.errors import InputError
from codex_core.files import OS_FILES, Files
from codex_core.running import checkpoint_files as form
from codex_core.running.checkpoint_files import Checkpoint

#: What of a manifest still holds for the model alone.
_KEPT = ("step", "position", "tokens", "run", "config_hash", "lock_digest", "data", "environment", "metrics")


def export(checkpoint: Checkpoint, target: Path, *, files: Files = OS_FILES) -> Checkpoint:
    """Write model and tokenizer of a verified checkpoint to `target`, which must not exist; verified at the end.

    Raises `InputError` when the place is taken or cannot be written.
    """
    if target.exists():
        raise InputError(
            code="CKP-009",
            what=f"{target} exists already",
            where=str(target),
            why="an export never writes into a folder that somebody made",
            fix="name another place with --out",
        )
    folder = target.with_name(f"{target.name}.tmp-{secrets.token_hex(4)}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _fill(checkpoint, folder, files)
        files.rename(folder, target)
        files.sync_folder(target.parent)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise InputError(
            code="CKP-009",
            what=f"the model could not be exported: {error.strerror or error}",
            where=str(target),
            fix="name another place with --out",
        ) from error
    return form.verify(target, formats=(form.MODEL_FORMAT,))


def _fill(checkpoint: Checkpoint, folder: Path, files: Files) -> None:
    manifest = checkpoint.manifest
    wanted = [file for file in manifest["files"] if file["path"].split("/")[0] in ("model", form.TOKENIZER)]
    folders = {
        parent for file in wanted for parent in (folder / file["path"]).parents if folder in parent.parents
    }
    for path in [folder, *sorted(folders)]:
        files.make_folder(path)
    for file in wanted:
        files.produce(folder / file["path"], partial(_copied, checkpoint.path / file["path"]))
        files.sync_file(folder / file["path"])
    origin = manifest.get("exported_from")
    content = {
        "format": form.MODEL_FORMAT,
        **{name: manifest[name] for name in _KEPT},
        "components": {name: manifest["components"][name] for name in ("model", form.TOKENIZER)},
        "parent": None,
        "exported_from": origin or {"path": checkpoint.path.name, "digest": checkpoint.digest},
        "files": wanted,
    }
    files.write(folder / form.MANIFEST, form.manifest_bytes(content))
    files.sync_file(folder / form.MANIFEST)
    for path in [*sorted(folders, reverse=True), folder]:
        files.sync_folder(path)


def _copied(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)

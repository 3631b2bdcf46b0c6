"""Where models lie on this machine, and which files each of them needs; importing this module loads no torch.

Decisions: a model is a folder; `models/` folders are looked at one level deep, runs by their newest checkpoint; a
listing reads small JSON files only and never verifies, `check` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from codex_core import model_folders
from codex_core.errors import ArtefactError, InputError
from codex_core.places import Places
from codex_models import hf_directory
from codex_models.hf_directory import FileState

#: The kind of folder that is not ours, as listings name it.
HF = "hugging face directory"


@attrs.frozen(kw_only=True)
class Place:
    """A model: its folder, what kind of folder that is, what is in it, and its size."""

    path: str
    kind: str
    description: str
    size_bytes: int

    def fields(self) -> dict[str, Any]:
        """The place as plain values."""
        return attrs.asdict(self)


def models(places: Places, *, environ: Mapping[str, str]) -> list[Place]:
    """All models of the catalogues and of the project's runs, by path."""
    catalogues = [places.home / "models", places.root / "models"]
    if environ.get("CODEX_MODELS"):
        catalogues.insert(0, Path(environ["CODEX_MODELS"]))
    folders = [
        folder for catalogue in catalogues if catalogue.is_dir() for folder in sorted(catalogue.iterdir())
    ]
    folders += model_folders.newest_of_runs(places)
    unique = {folder.resolve(): folder for folder in folders if folder.is_dir()}
    return [place for folder in unique.values() if (place := look(folder)) is not None]


def look(folder: Path) -> Place | None:
    """What a folder is, None when it holds no model."""
    manifest = model_folders.manifest_of(folder)
    if manifest:
        kind = model_folders.KINDS[manifest["format"]]
        component = manifest.get("components", {}).get("model", {})
        described = f"{component.get('id')} at step {manifest.get('step')}"
        size = sum(int(file["bytes"]) for file in manifest.get("files", ()))
    elif hf_directory.is_directory(folder):
        kind, described = HF, _model_type(folder)
        size = sum(path.stat().st_size for path in hf_directory.weight_files(folder) if path.is_file())
    else:
        return None
    return Place(path=folder.as_posix(), kind=kind, description=described, size_bytes=size)


def check(folder: Path) -> tuple[str, list[FileState]]:
    """The kind of a folder, and its files with their states; `InputError` when there is no such folder."""
    if (folder / model_folders.MANIFEST).is_file():
        return _checked(folder)
    if (folder / "run.json").is_file():
        raise InputError(
            code="MOD-007",
            what="this is a run, which holds several checkpoints",
            where=str(folder),
            fix=f"codex runs verify {folder}, or name one of its checkpoints",
        )
    return HF, hf_directory.check(folder)


def is_usable(rows: list[FileState]) -> bool:
    """Tell whether nothing that is needed is missing or refused."""
    return hf_directory.is_usable(rows)


def _checked(folder: Path) -> tuple[str, list[FileState]]:
    """A folder of ours: every file that the manifest names, re-read and compared with its digest."""
    manifest = model_folders.manifest_of(folder)
    kind = model_folders.KINDS.get(manifest.get("format", ""), "codex model")
    rows = [FileState(model_folders.MANIFEST, "present", str(manifest.get("format", "")))]
    rows += [_file_state(folder, str(file["path"])) for file in manifest.get("files", ())]
    try:
        model_folders.verify(folder)
    except ArtefactError as error:
        place, reason = Path(error.where or folder), error.why or error.what
        name = place.relative_to(folder).as_posix() if folder in place.parents else model_folders.MANIFEST
        kept = [row for row in rows if row.name != name]
        is_missing = any(row.name == name and row.state == "missing" for row in rows)
        return kind, rows if is_missing else [*kept, FileState(name, "refused", reason)]
    return kind, rows


def _file_state(folder: Path, name: str) -> FileState:
    return FileState(name, "present" if (folder / name).is_file() else "missing")


def _model_type(folder: Path) -> str:
    try:
        return str(hf_directory.config_of(folder).get("model_type", "unknown"))
    except InputError:
        return "unknown"

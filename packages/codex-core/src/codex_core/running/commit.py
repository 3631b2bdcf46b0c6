"""One checkpoint on its way to the disk: written beside its place, synced, named last, read again.

Decisions: the manifest comes last and the rename after it, so a folder with its final name is whole; a writer may
tell the digest of what it wrote, computed while the bytes were at hand, and the re-reading proves it; whatever
stops a commit, half a folder goes.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs

from codex_core.canonical import file_digest, readable_json, sha256_of
from codex_core.contracts import WriteFile
from codex_core.files import Files
from codex_core.running import checkpoint_files as form
from codex_core.running.upkeep import move_aside


class Abandoned(Exception):
    """A save was given up because the run was stopped at once."""


@attrs.frozen(kw_only=True, eq=False)
class Content:
    """What goes into a checkpoint: counts, the trainer's state and files, and what the manifest tells besides."""

    step: int
    position: int
    tokens: int
    state: Mapping[str, Any]
    payload: Mapping[str, WriteFile]
    told: Mapping[str, Any]

    @property
    def counted(self) -> dict[str, int]:
        """Step, rows and tokens."""
        return {"step": self.step, "position": self.position, "tokens": self.tokens}


@attrs.define(kw_only=True, eq=False)
class Commit:
    """Writes a checkpoint under `root`; `go_on` is asked before each file, and False gives up (`Abandoned`)."""

    root: Path
    tokenizer_path: Path
    files: Files
    go_on: Callable[[], bool] = lambda: True

    def write(self, content: Content) -> Path:
        """Write and rename; returns the folder, which is durable and not yet verified."""
        target = self.root / form.folder_name(content.step)
        folder = target.with_name(f"{target.name}.tmp-{secrets.token_hex(4)}")
        try:
            self._fill(folder, content)
            self._require_wanted()
            if target.exists():
                move_aside(target, files=self.files)
            self.files.rename(folder, target)
            self.files.sync_folder(self.root)
        except Exception:  # whatever stopped the commit, half a folder goes; raised again
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return target

    def _fill(self, folder: Path, content: Content) -> None:
        """Write everything of a checkpoint into a new folder, the manifest last, and make it durable."""
        copies = {
            f"{form.TOKENIZER}/{path.relative_to(self.tokenizer_path).as_posix()}": _copier(path)
            for path in sorted(self.tokenizer_path.rglob("*"))
            if path.is_file()
        }
        writers = {form.checked_name(name): write for name, write in content.payload.items()} | copies
        folders = {
            parent for name in writers for parent in (folder / name).parents if folder in parent.parents
        }
        for path in [folder, *sorted(folders)]:
            self.files.make_folder(path)
        listed = [self._add(folder, name, write) for name, write in sorted(writers.items())]
        state_data = readable_json({**content.counted, "state": dict(content.state)}).encode()
        self.files.write(folder / form.STATE, state_data)
        self.files.sync_file(folder / form.STATE)
        listed.append({"path": form.STATE, "bytes": len(state_data), "digest": sha256_of(state_data)})
        manifest = {"format": form.CHECKPOINT_FORMAT, **content.counted, **content.told, "files": listed}
        self.files.write(folder / form.MANIFEST, form.manifest_bytes(manifest))
        self.files.sync_file(folder / form.MANIFEST)
        for path in [*sorted(folders, reverse=True), folder]:
            self.files.sync_folder(path)

    def _add(self, folder: Path, name: str, write: WriteFile) -> dict[str, Any]:
        self._require_wanted()
        path, algorithm = folder / name, form.algorithm_for(name)
        digest = self.files.produce(path, write)
        self.files.sync_file(path)
        if digest is None or not digest.startswith(f"{algorithm}:"):
            digest = file_digest(path, algorithm)
        return {"path": name, "bytes": path.stat().st_size, "digest": digest}

    def _require_wanted(self) -> None:
        if not self.go_on():
            raise Abandoned


def _copier(source: Path) -> WriteFile:
    def copy(target: Path) -> None:
        shutil.copyfile(source, target)

    return copy

"""Checkpoints: committed whole or not at all, found by what verifies, pruned last.

A save goes through these steps, each of which may be the last one that happens: write into
`step-N.tmp-<nonce>`, sync every file, manifest last, sync, rename, sync the parent, re-read and verify; only then
`last.json` moves and retention prunes. Decisions: the loader trusts folders that verify, never the pointer; it
tries the newest step first, in numeric order, and tells of each one that it passes over; a folder that stands in
the way (a later step of a superseded attempt, or a corrupt one) is moved aside under a name that no loader reads,
and goes once a newer checkpoint has verified.
"""

from __future__ import annotations

import errno
import json
import secrets
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs

from codex_core.canonical import file_digest, readable_json, sha256_of
from codex_core.contracts import Emit, SavedState
from codex_core.errors import ArtefactError, CodexError, InputError, RunFailed
from codex_core.events import CheckpointPruned, CheckpointRejected, CheckpointSaved, Event, Warned
from codex_core.files import OS_FILES, Files, write_atomic
from codex_core.running import checkpoint_files as form
from codex_core.running.checkpoint_files import Checkpoint, inspect, verify
from codex_core.running.retention import to_prune

__all__ = ["Checkpoint", "CheckpointStore", "Origin", "committed", "find", "inspect", "newest", "verify"]

POINTER = "last.json"
_DISK_FULL = {errno.ENOSPC, errno.EDQUOT}


@attrs.frozen(kw_only=True)
class Origin:
    """Where the checkpoints of an attempt come from, as their manifests say it.

    `run` holds id, name and attempt; `components` the canonical ids, versions and options of model, tokenizer and
    trainer; `data` the identity of the prepared set; `environment` library and device versions.
    """

    run: Mapping[str, Any]
    config_hash: str
    lock_digest: str
    components: Mapping[str, Any]
    data: Mapping[str, Any]
    environment: Mapping[str, Any]


def ignore(event: Event) -> None:
    """Take an event and do nothing with it."""


def committed(root: Path) -> dict[int, Path]:
    """The committed checkpoints by step, newest first, whether they verify or not."""
    folders = [path for path in root.iterdir() if path.is_dir()] if root.is_dir() else []
    steps = {step: path for path in folders if (step := form.step_of(path)) is not None}
    return dict(sorted(steps.items(), reverse=True))


def newest(root: Path, *, emit: Emit = ignore) -> Checkpoint:
    """The newest checkpoint that verifies; each one passed over is told as `CheckpointRejected`.

    Raises `InputError` when there is none at all, `ArtefactError` when none verifies.
    """
    found = committed(root)
    _look_at_pointer(root, found, emit)
    problems: list[ArtefactError] = []
    for path in found.values():
        try:
            return verify(path)
        except ArtefactError as error:
            problems.append(error)
            emit(CheckpointRejected(path=f"{root.name}/{path.name}", reason=error.what))
    if problems:
        raise ArtefactError(
            code="CKP-005",
            what=f"none of {len(problems)} checkpoints verifies; the newest fails with: {problems[0].what}",
            where=problems[0].where,
            fix="restore one from a copy, or start the run anew in another directory",
            related=problems[1:],
        )
    raise InputError(
        code="CKP-001",
        what="there is no checkpoint here",
        where=str(root),
        why="the run ended before its first save" if root.is_dir() else "there is no such folder",
        fix="codex runs list",
    )


def find(path: Path, *, emit: Emit = ignore) -> Checkpoint:
    """The checkpoint at a path: a checkpoint's folder (which must verify), a run's, or its `checkpoints/`."""
    if (path / form.MANIFEST).exists() or form.step_of(path) is not None:
        return verify(path)
    return newest(path / "checkpoints" if (path / "checkpoints").is_dir() else path, emit=emit)


def _look_at_pointer(root: Path, found: Mapping[int, Path], emit: Emit) -> None:
    """The pointer is never followed; but when it names a checkpoint that has gone, that is told."""
    try:
        pointer = json.loads((root / POINTER).read_bytes())
        step, name = int(pointer["step"]), str(pointer["path"])
    except FileNotFoundError:
        return
    except (OSError, ValueError, TypeError, KeyError) as error:
        emit(Warned(code="CKP-002", text=f"{POINTER} cannot be read ({error}); the folders are looked at"))
        return
    if step not in found and (not found or step > max(found)):
        emit(CheckpointRejected(path=f"{root.name}/{name}", reason=f"{POINTER} names it, and it is gone"))


@attrs.define(kw_only=True, eq=False)
class CheckpointStore:
    """The checkpoints of one attempt: the shell around what a trainer saves (`contracts.Checkpoints`).

    `every` and `last` are steps (`every` 0 saves the last one only), `keep_last` how many verified checkpoints
    stay (0 keeps all), `parent` the checkpoint that the attempt resumed from; `metrics` gives the newest metric
    rows at a save, and `before_save` makes durable what a resume from the new checkpoint will count on.
    """

    root: Path
    origin: Origin
    tokenizer_path: Path
    every: int
    last: int
    keep_last: int = 0
    parent: Checkpoint | None = None
    emit: Emit = ignore
    metrics: Callable[[], Mapping[str, Any]] = dict
    before_save: Callable[[], None] = lambda: None
    files: Files = OS_FILES

    def resume(self) -> SavedState | None:
        """Where the attempt continues; None when it starts at step 0."""
        return None if self.parent is None else self.parent.saved_state()

    def is_due(self, step: int) -> bool:
        """Whether a checkpoint is to be saved after `step`: each `every` steps, and at the last one always."""
        return step == self.last or (self.every > 0 and step % self.every == 0)

    def save(
        self,
        *,
        step: int,
        position: int,
        tokens: int,
        state: Mapping[str, Any],
        files: Mapping[str, Callable[[Path], None]],
    ) -> None:
        """Commit a checkpoint; saving the step just saved again does nothing.

        Raises `RunFailed` when the disk fills or fails; earlier checkpoints stay as they are.
        """
        if self.parent is not None and self.parent.step == step:
            return
        counted = {"step": step, "position": position, "tokens": tokens}
        try:
            self.before_save()
            self.parent = self._commit(counted, state, files)
        except OSError as error:
            raise _failed(step, self.root, error) from error
        self.emit(
            CheckpointSaved(
                step=step,
                path=f"{self.root.name}/{self.parent.path.name}",
                manifest_digest=self.parent.digest,
                size_bytes=self.parent.size_bytes,
            )
        )
        self._prune()

    def clear(self) -> None:
        """At the start of an attempt: drop unfinished saves, move aside what comes after the parent."""
        for path in sorted(self.root.iterdir()):
            if ".tmp-" in path.name:
                self.files.remove(path)
                self._warn(f"removed {path.name}, a save that did not finish")
        start = 0 if self.parent is None else self.parent.step
        for step, path in committed(self.root).items():
            if step > start:
                aside = self._move_aside(path)
                self._warn(f"moved {path.name} aside to {aside.name}: the run continues from step {start}")

    def _commit(
        self,
        counted: Mapping[str, int],
        state: Mapping[str, Any],
        payload: Mapping[str, Callable[[Path], None]],
    ) -> Checkpoint:
        target = self.root / form.folder_name(counted["step"])
        folder = target.with_name(f"{target.name}.tmp-{secrets.token_hex(4)}")
        try:
            self._fill(folder, counted, state, payload)
            if target.exists():
                self._move_aside(target)
            self.files.rename(folder, target)
            self.files.sync_folder(self.root)
        except Exception:  # whatever stopped the commit, half a folder goes; raised again
            shutil.rmtree(folder, ignore_errors=True)
            raise
        saved = verify(target)
        pointer = {"step": saved.step, "path": target.name, "manifest_digest": saved.digest}
        write_atomic(self.root / POINTER, readable_json(pointer), files=self.files)
        return saved

    def _fill(
        self,
        folder: Path,
        counted: Mapping[str, int],
        state: Mapping[str, Any],
        payload: Mapping[str, Callable[[Path], None]],
    ) -> None:
        """Write everything of a checkpoint into a new folder, the manifest last, and make it durable."""
        copies = {
            f"{form.TOKENIZER}/{path.relative_to(self.tokenizer_path).as_posix()}": _copier(path)
            for path in sorted(self.tokenizer_path.rglob("*"))
            if path.is_file()
        }
        writers = {form.checked_name(name): write for name, write in payload.items()} | copies
        folders = {
            parent for name in writers for parent in (folder / name).parents if folder in parent.parents
        }
        for path in [folder, *sorted(folders)]:
            self.files.make_folder(path)
        listed = [self._add(folder, name, write) for name, write in sorted(writers.items())]
        state_data = readable_json({**counted, "state": dict(state)}).encode()
        self.files.write(folder / form.STATE, state_data)
        self.files.sync_file(folder / form.STATE)
        listed.append({"path": form.STATE, "bytes": len(state_data), "digest": sha256_of(state_data)})
        self.files.write(folder / form.MANIFEST, form.manifest_bytes(self._manifest(counted, listed)))
        self.files.sync_file(folder / form.MANIFEST)
        for path in [*sorted(folders, reverse=True), folder]:
            self.files.sync_folder(path)

    def _add(self, folder: Path, name: str, write: Callable[[Path], None]) -> dict[str, Any]:
        path = folder / name
        self.files.produce(path, write)
        self.files.sync_file(path)
        digest = file_digest(path, form.algorithm_for(name))
        return {"path": name, "bytes": path.stat().st_size, "digest": digest}

    def _manifest(self, counted: Mapping[str, int], listed: list[dict[str, Any]]) -> dict[str, Any]:
        parent = self.parent
        return {
            "format": form.CHECKPOINT_FORMAT,
            **counted,
            **attrs.asdict(self.origin, recurse=False),
            "parent": None if parent is None else {"path": parent.path.name, "digest": parent.digest},
            "metrics": dict(self.metrics()),
            "files": listed,
        }

    def _move_aside(self, path: Path) -> Path:
        aside = path.with_name(f"{path.name}.aside-{secrets.token_hex(4)}")
        self.files.rename(path, aside)
        self.files.sync_folder(self.root)
        return aside

    def _prune(self) -> None:
        """Remove what retention lets go; called only after a newer checkpoint has verified."""
        assert self.parent is not None, "nothing is pruned before something was saved"
        saved, found = self.parent.step, committed(self.root)
        going = [found[step] for step in to_prune(found, keep_last=self.keep_last, pinned=(saved,))]
        asides = [path for path in self.root.glob("step-*.aside-*") if _aside_step(path) <= saved]
        for path in [*going, *sorted(asides)]:
            try:
                self._remove(path)
            except OSError as error:
                self._warn(f"{path.name} could not be pruned: {error.strerror or error}")

    def _remove(self, path: Path) -> None:
        if path.is_symlink() or path.resolve().parent != self.root.resolve():
            self._warn(f"{path.name} lies outside the run and is not pruned")
            return
        leaving = path.with_name(f"{path.name}.tmp-{secrets.token_hex(4)}")  # half removed is never loaded
        self.files.rename(path, leaving)
        self.files.remove(leaving)
        self.emit(CheckpointPruned(step=_aside_step(path), path=f"{self.root.name}/{path.name}"))

    def _warn(self, text: str) -> None:
        self.emit(Warned(code="CKP-006", text=text))


def _aside_step(path: Path) -> int:
    return form.step_of(path.with_name(path.name.partition(".")[0])) or 0


def _copier(source: Path) -> Callable[[Path], None]:
    def copy(target: Path) -> None:
        shutil.copyfile(source, target)

    return copy


def _failed(step: int, root: Path, error: OSError) -> CodexError:
    is_full = error.errno in _DISK_FULL
    return RunFailed(
        code="RUN-008" if is_full else "CKP-004",
        what=f"the checkpoint of step {step} could not be written: {error.strerror or error}",
        where=str(root),
        why="earlier checkpoints are untouched",
        fix="free some disk space, then: codex train --resume RUN" if is_full else "codex train --resume RUN",
    )

"""Finding checkpoints: folders that verify decide, pointers never do.

Decisions: the newest step is tried first, in numeric order, and each one passed over is told; a checkpoint that was
asked for by its path must verify itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from codex_core.contracts import Emit
from codex_core.errors import ArtefactError, InputError
from codex_core.events import CheckpointRejected, Event, Warned
from codex_core.running import checkpoint_files as form
from codex_core.running import pointers
from codex_core.running.checkpoint_files import Checkpoint, verify


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
    """The checkpoint at a path: a checkpoint's folder or an exported model (which must verify), a run's, or its
    `checkpoints/`.
    """
    if (path / form.MANIFEST).exists() or form.step_of(path) is not None:
        return verify(path, formats=(form.CHECKPOINT_FORMAT, form.MODEL_FORMAT))
    return newest(path / "checkpoints" if (path / "checkpoints").is_dir() else path, emit=emit)


def _look_at_pointer(root: Path, found: Mapping[int, Path], emit: Emit) -> None:
    """The pointer is never followed; but when it names a checkpoint that has gone, that is told."""
    try:
        pointer = pointers.read(root / pointers.LAST)
    except (OSError, ValueError) as error:
        text = f"{pointers.LAST} cannot be read ({error}); the folders are looked at"
        emit(Warned(code="CKP-002", text=text))
        return
    if pointer is None:
        return
    step = pointer["step"]
    if step not in found and (not found or step > max(found)):
        reason = f"{pointers.LAST} names it, and it is gone"
        emit(CheckpointRejected(path=f"{root.name}/{pointer['path']}", reason=reason))

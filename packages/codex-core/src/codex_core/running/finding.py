"""Finding checkpoints: folders that verify decide, pointers never do.

Decisions: the newest step is tried first, in numeric order, and each one passed over is told; a checkpoint that was
asked for by its path must verify itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from codex_core.canonical import file_digest
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
        why=_why_none(root),
        fix="codex runs list",
    )


def _why_none(root: Path) -> str:
    if not root.is_dir():
        return "there is no such folder"
    if root.name == "checkpoints" or (root / "run.json").exists():
        return "the run ended before its first save"
    return "the folder is neither a run nor a checkpoint nor a model of Codex"


def find(path: Path, *, emit: Emit = ignore) -> Checkpoint:
    """The checkpoint at a path: a checkpoint's folder or an exported model (which must verify), a run's, or its
    `checkpoints/`.
    """
    if (path / form.MANIFEST).exists() or form.step_of(path) is not None:
        return verify(path, formats=(form.CHECKPOINT_FORMAT, form.MODEL_FORMAT))
    return newest(path / "checkpoints" if (path / "checkpoints").is_dir() else path, emit=emit)


def require_same_tokenizer(checkpoint: Checkpoint, tokenizer_path: Path) -> None:
    """Raise `ArtefactError` when the tokenizer in a checkpoint is not, byte for byte, the one of the data."""
    held = {
        file["path"]: file["digest"]
        for file in checkpoint.manifest["files"]
        if file["path"].startswith(f"{form.TOKENIZER}/")
    }
    wanted = {}
    for path in sorted(path for path in tokenizer_path.rglob("*") if path.is_file()):
        name = f"{form.TOKENIZER}/{path.relative_to(tokenizer_path).as_posix()}"
        wanted[name] = file_digest(path, form.algorithm_for(name))
    differing = sorted(name for name in held.keys() | wanted.keys() if held.get(name) != wanted.get(name))
    if differing:
        raise ArtefactError(
            code="CKP-007",
            what=f"the checkpoint {checkpoint.path.name} does not belong to this run: another tokenizer",
            where=str(checkpoint.path / differing[0]),
            why="rows of the run's data would mean other text to the model",
            fix="resume from another checkpoint of this run: codex checkpoint list RUN",
        )


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

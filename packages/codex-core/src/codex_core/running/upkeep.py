"""What lies among the checkpoints of a run: pointers that follow, folders that go, folders that are moved away.

Decisions: pointers move before anything is removed, so that none ever names what has gone; a folder is renamed
before it is emptied, so that half a checkpoint is never loaded; nothing outside the run is touched, and what cannot
be removed is told and stays. Used by one thread at a time: that of a save, or a command's.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import attrs

from codex_core.clock import Now, utc_now
from codex_core.errors import ArtefactError
from codex_core.events import CheckpointPruned, Event, Warned
from codex_core.files import OS_FILES, Files
from codex_core.running import checkpoint_files as form
from codex_core.running import pointers
from codex_core.running.checkpoint_files import Checkpoint
from codex_core.running.finding import committed
from codex_core.running.retention import Candidate, Rule, best, to_prune


@attrs.define(kw_only=True, eq=False)
class Upkeep:
    """Keeps the folder `root` as `rule` says; `events` is what there is to tell since it was last taken."""

    root: Path
    rule: Rule
    files: Files = OS_FILES
    now: Now = utc_now
    events: list[Event] = attrs.field(factory=list)

    def taken_events(self) -> list[Event]:
        """What there is to tell; the list begins anew."""
        events, self.events = self.events, []
        return events

    def candidates(self) -> list[Candidate]:
        """The committed checkpoints as retention sees them."""
        return candidates(self.root, self.rule, now=self.now())

    def going(self) -> list[Path]:
        """What retention lets go, oldest first."""
        return [self.root / form.folder_name(step) for step in to_prune(self.candidates(), self.rule)]

    def replaced(self, step: int) -> list[Path]:
        """Checkpoints moved aside that have been saved anew up to `step`; those of pinned steps stay for good."""
        asides = sorted(self.root.glob("step-*.aside-*"))
        return [
            path for path in asides if _own(path) <= step and not pin_path(self.root, _own(path)).exists()
        ]

    def quarantined(self) -> list[Path]:
        """What did not verify."""
        folder = self.root / form.QUARANTINE
        return sorted(folder.iterdir()) if folder.is_dir() else []

    def move_pointers(self, saved: Checkpoint | None) -> None:
        """`last.json` names `saved`; `best-<metric>.json` the best of those up to it. None names nothing."""
        told: dict[str, Any] | None = None
        if saved is not None:
            told = {"step": saved.step, "path": saved.path.name, "manifest_digest": saved.digest}
        pointers.move(self.root / pointers.LAST, told, files=self.files)
        if self.rule.ranks:
            limit = 0 if saved is None else saved.step
            pointer = self.root / pointers.best_name(self.rule.metric)
            pointers.move(pointer, self._best(limit), files=self.files)

    def remove(self, going: Sequence[Path]) -> None:
        """Remove checkpoints, each told; called only when a newer one has verified."""
        for path in going:
            try:
                self._remove(path)
            except OSError as error:
                self._note(f"{path.name} could not be pruned: {error.strerror or error}")

    def _best(self, limit: int) -> dict[str, Any] | None:
        present = [one for one in self.candidates() if one.step <= limit]
        first = next(iter(best(present, self.rule)), None)
        if first is None:
            return None
        name = form.folder_name(first.step)
        _, digest = form.read_manifest(self.root / name)
        told = {"step": first.step, "path": name, "manifest_digest": digest, "value": first.value}
        return told | {"metric": self.rule.metric, "split": self.rule.split, "mode": self.rule.mode}

    def _remove(self, path: Path) -> None:
        inside = (self.root.resolve(), (self.root / form.QUARANTINE).resolve())
        if path.is_symlink() or path.resolve().parent not in inside:
            self._note(f"{path.name} lies outside the run and is not pruned")
            return
        leaving = path.with_name(f"{path.name}.tmp-{secrets.token_hex(4)}")  # half removed is never loaded
        self.files.rename(path, leaving)
        self.files.remove(leaving)
        told = path.relative_to(self.root.parent).as_posix()
        self.events.append(CheckpointPruned(step=_own(path), path=told))

    def _note(self, text: str) -> None:
        self.events.append(Warned(code="CKP-006", text=text))


def move_aside(path: Path, *, files: Files) -> Path:
    """Move a committed checkpoint under a name that no loader reads."""
    aside = path.with_name(f"{path.name}.aside-{secrets.token_hex(4)}")
    files.rename(path, aside)
    files.sync_folder(path.parent)
    return aside


def quarantine(path: Path, *, files: Files) -> Path:
    """Move a checkpoint that does not verify into `quarantine/`, where nothing looks and nothing prunes."""
    folder = path.parent / form.QUARANTINE
    if not folder.exists():
        files.make_folder(folder)
    kept = folder / f"{path.name}-{secrets.token_hex(4)}"
    files.rename(path, kept)
    files.sync_folder(path.parent)
    return kept


def pin_path(root: Path, step: int) -> Path:
    """The marker that pins a checkpoint; it lies beside the folder, which no file may be added to."""
    return root / f"{form.folder_name(step)}.pin"


def candidates(root: Path, rule: Rule, *, now: datetime) -> list[Candidate]:
    """The committed checkpoints as retention sees them; a manifest that cannot be read has no number and no age."""
    found = []
    for step, path in committed(root).items():
        try:
            manifest, _ = form.read_manifest(path)
        except ArtefactError:
            manifest = {}
        saved = manifest.get("saved")
        age_s = None if saved is None else (now - datetime.fromisoformat(saved)).total_seconds()
        is_pinned = pin_path(root, step).exists()
        found.append(Candidate(step=step, value=value_of(manifest, rule), age_s=age_s, is_pinned=is_pinned))
    return found


def value_of(manifest: Mapping[str, Any], rule: Rule) -> float | None:
    """The number by which a checkpoint is ranked: that of its own step, never an earlier one."""
    row = manifest.get("metrics", {}).get(rule.split, {})
    value = row.get(rule.metric)
    is_own = bool(row) and row.get("step") == manifest.get("step")
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_own and is_number else None


def _own(path: Path) -> int:
    """The step of a folder that carries more than its step in its name: `step-00000040.aside-1f` is of step 40."""
    return int(path.name.split("-")[1].partition(".")[0])

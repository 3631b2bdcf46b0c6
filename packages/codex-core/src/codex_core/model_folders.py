"""Folders that hold a model and its tokenizer, for packages that bring models from elsewhere or take them there.

Decisions: a folder of the format `codex-model/1` is opened like a checkpoint, no training resumes from it; a model
that no run trained has no run, no data and no numbers, and says so by leaving them empty; what a run knows of its
model counts only when its lock is the one that the checkpoint names.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from codex_core import checkpoints, runs
from codex_core.canonical import file_digest
from codex_core.checkpoints import Checkpoint, committed
from codex_core.contracts import Emit
from codex_core.errors import CodexError
from codex_core.lock import Lock
from codex_core.places import Places
from codex_core.planning.structuring import plain_values
from codex_core.running import checkpoint_files as form
from codex_core.running.locked import built, loader

if TYPE_CHECKING:
    from codex_core.registry import Registry

MANIFEST = form.MANIFEST
MODEL, TOKENIZER = "model", form.TOKENIZER

#: What a folder may be, by the format that its manifest names.
KINDS = {form.CHECKPOINT_FORMAT: "checkpoint", form.MODEL_FORMAT: "codex model"}


@attrs.frozen(kw_only=True)
class Part:
    """A component of a folder: its canonical id (None where there is none), version, and options object."""

    id: str | None
    version: str | None = None
    options: Any = None

    def as_manifest(self) -> dict[str, Any]:
        """The part as a manifest holds it."""
        options = {} if self.options is None else plain_values(self.options)
        return {"id": self.id, "version": self.version, "options": options}


def find(reference: str, places: Places, *, emit: Emit = checkpoints.ignore) -> Checkpoint:
    """The verified folder that a reference means: a path, a run's id or name, `@last`."""
    path = Path(reference)
    return checkpoints.find(path if path.exists() else runs.find(reference, places).path, emit=emit)


def manifest_of(folder: Path) -> dict[str, Any]:
    """What a folder's manifest says, unverified; empty where there is none of ours."""
    try:
        held = json.loads((folder / MANIFEST).read_bytes())
    except (OSError, ValueError):
        return {}
    return held if isinstance(held, dict) and held.get("format") in KINDS else {}


def verify(folder: Path) -> Checkpoint:
    """Re-read every file of a folder; raises `ArtefactError` naming the first that differs."""
    return form.verify(folder, formats=tuple(KINDS))


def seal(folder: Path, *, model: Part, tokenizer: Part, origin: Mapping[str, Any]) -> Checkpoint:
    """Write the manifest of a folder whose files are in place; `origin` says where the parameters come from."""
    content = {
        "format": form.MODEL_FORMAT,
        "step": 0,
        "position": 0,
        "tokens": 0,
        "run": {"id": None, "name": None, "attempt": 0},
        "config_hash": None,
        "lock_digest": None,
        "data": {"fingerprint": None, "manifest_digest": None},
        "environment": {},
        "metrics": {},
        "components": {MODEL: model.as_manifest(), TOKENIZER: tokenizer.as_manifest()},
        "parent": None,
        "exported_from": dict(origin),
        "files": [_listed(folder, path) for path in sorted(folder.rglob("*")) if path.is_file()],
    }
    (folder / MANIFEST).write_bytes(form.manifest_bytes(content))
    return verify(folder)


def newest_of_runs(places: Places) -> list[Path]:
    """The newest checkpoint of each run of a project, verified or not."""
    folders = sorted(places.runs.iterdir()) if places.runs.is_dir() else []
    found = [committed(run / "checkpoints") for run in folders if (run / "run.json").is_file()]
    return [next(iter(steps.values())) for steps in found if steps]


def lock_of(found: Checkpoint) -> Lock | None:
    """The lock of the run in which a checkpoint lies, when it is the one that the checkpoint names."""
    for path in sorted(_run_of(found).glob("lock*.json")):
        try:
            lock = Lock.from_dict(json.loads(path.read_bytes()))
        except (OSError, ValueError, TypeError):
            continue
        if lock.digest() == found.manifest.get("lock_digest"):
            return lock
    return None


def data_of(found: Checkpoint) -> Mapping[str, Any] | None:
    """The manifest of the prepared data of that run, when it is the data that the checkpoint names."""
    try:
        held = json.loads((_run_of(found) / "data.json").read_bytes())
    except (OSError, ValueError):
        return None
    same = held.get("manifest_digest") == found.manifest["data"].get("manifest_digest")
    return held.get("manifest") if same else None


def signatures(lock: Lock, registry: Registry) -> dict[str, str]:
    """The signature of each metric of a lock by its name; none where the metrics are not installed."""
    try:
        metrics = [metric for _, metric in built(loader(lock, registry), lock, "evaluation.metrics")]
    except CodexError:
        return {}
    return {metric.name: metric.signature() for metric in metrics}


def _run_of(found: Checkpoint) -> Path:
    return found.path.parent.parent


def _listed(folder: Path, path: Path) -> dict[str, Any]:
    name = path.relative_to(folder).as_posix()
    digest = file_digest(path, form.algorithm_for(name))
    return {"path": name, "bytes": path.stat().st_size, "digest": digest}

"""Stores of checkpoints over a folder, and saves whose payload tells which step it is of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from codex_core import checkpoints
from codex_core.checkpoints import CheckpointStore, Origin, Rule
from codex_core.files import OS_FILES, Files
from tests.support.small_training import prepared_at

ORIGIN = Origin(
    run={"id": "abc", "name": "small", "attempt": 1},
    config_hash="sha256:config",
    lock_digest="sha256:lock",
    components={"model": {"id": "small/model", "version": "1.0.0", "options": {"width": 4}}},
    data={"fingerprint": "sha256:data", "manifest_digest": "sha256:manifest"},
    environment={"python": "3"},
)

START = datetime(2026, 1, 1, tzinfo=UTC)


class Clock:
    """A time that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def pass_hours(self, hours: float) -> None:
        """Let time go by."""
        self.now += timedelta(hours=hours)


def store_in(
    folder: Path, *, rule: Rule | None = None, files: Files = OS_FILES, emit: Any = None, **changes: Any
) -> CheckpointStore:
    """A store over `folder/checkpoints`, continuing from its newest checkpoint if there is one."""
    root = folder / "checkpoints"
    root.mkdir(parents=True, exist_ok=True)
    given: dict[str, Any] = {
        "root": root,
        "origin": ORIGIN,
        "tokenizer_path": prepared_at(folder / "prepared").tokenizer_path,
        "every": 10,
        "last": 1000,
        "rule": rule or Rule(),
        "parent": checkpoints.newest(root) if checkpoints.committed(root) else None,
        "emit": emit or checkpoints.ignore,
        "files": files,
    }
    return CheckpointStore(**(given | changes))


def payload_of(step: int) -> dict[str, Callable[[Path], None]]:
    """The files of a step."""
    data = f"weights of step {step}".encode()
    return {
        "model/weights.bin": lambda path: _write(path, data),
        "trainer/deep/moments.bin": lambda path: _write(path, data * 2),
    }


def save(store: CheckpointStore, step: int, *, state: Mapping[str, Any] | None = None, **how: Any) -> None:
    """Save a step."""
    given = {"files": payload_of(step), "state": state or {"seen": step}}
    store.save(step=step, position=step * 4, tokens=step * 32, **(given | how))


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)

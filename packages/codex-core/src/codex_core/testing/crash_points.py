"""Where a training can be killed: every file operation of a save, of pruning and of a resume, and moments between.

Decisions: the process kills itself with SIGKILL, so that nothing of it, handlers, buffers and threads included, goes
on; phases are told apart by what is done to which file, so a training needs no hook for this; moments without file
operations (a step, an evaluation) are hit by a timer that starts with the journal record before them.
"""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

from codex_core.files import Files

#: What a kill can be aimed at.
PHASES = ("save", "prune", "resume", "evaluation", "step")

#: Whether the operation is not done, half done, or done when the process goes.
HOWS = ("before", "half", "after")

_OPERATIONS = ("make_folder", "write", "produce", "append", "sync_file", "sync_folder", "rename", "remove")


@attrs.frozen(kw_only=True)
class CrashPoint:
    """A moment to die: the `operation`-th file operation (from 1) of a phase, or `delay_s` after its start.

    For `step` and `evaluation` the start is the `operation`-th record of a step of this process (that is due for
    evaluation, `evaluate_every` steps); for `resume` with a delay it is the start of the process.
    """

    phase: str
    operation: int = 1
    how: str = "before"
    delay_s: float | None = None
    evaluate_every: int = 1


class Watch:
    """Follows the file operations of this process and kills it at a point."""

    def __init__(self, point: CrashPoint, *, die: Callable[[], None] | None = None) -> None:
        self.point = point
        self.die = die or _die
        self.num_seen = 0
        self.has_stepped = False
        self._counting = threading.Lock()

    def install(self) -> None:
        """Wrap the operations of `Files` in this process; nothing takes them back."""
        for name in _OPERATIONS:
            setattr(Files, name, self._wrapped(name, getattr(Files, name)))
        if self.point.phase == "resume" and self.point.delay_s is not None:
            self._die_later()

    def phase_of(self, name: str, target: object, data: object = None) -> str:
        """The phase that an operation belongs to; empty for what is none of them."""
        if not self.has_stepped:
            return "resume"
        if not isinstance(target, Path) or "checkpoints" not in (target.parent.name, *_parents(target)):
            return ""
        if name == "remove" or (name == "rename" and isinstance(data, Path) and ".tmp-" in data.name):
            return "prune"
        return "save"

    def _wrapped(self, name: str, act: Callable[..., Any]) -> Callable[..., Any]:
        def watched(files: Files, target: Any, *rest: Any) -> Any:
            is_the_one = self._count(name, target, rest[0] if rest else None)
            if is_the_one and self.point.how == "before":
                self.die()
            if is_the_one and self.point.how == "half":
                _halve(name, act, files, target, rest)
                self.die()
            result = act(files, target, *rest)
            if is_the_one:
                self.die()
            if name == "append":
                self._follow(rest[0])
            return result

        return watched

    def _count(self, name: str, target: object, data: object) -> bool:
        point = self.point
        if point.delay_s is not None or self.phase_of(name, target, data) != point.phase:
            return False
        with self._counting:
            self.num_seen += 1
            return self.num_seen == point.operation

    def _follow(self, data: bytes) -> None:
        """Take notice of the steps among what was appended, which may be anything."""
        for line in data.split(b"\n"):
            if b'"kind":"step",' not in line or not line.startswith(b"{"):
                continue
            self.has_stepped = True
            every = self.point.evaluate_every if self.point.phase == "evaluation" else 1
            step = json.loads(line)["fields"]["step"]
            if self.point.phase in ("step", "evaluation") and step % every == 0:
                self.num_seen += 1
                if self.num_seen == self.point.operation:
                    self._die_later()

    def _die_later(self) -> None:
        timer = threading.Timer(self.point.delay_s or 0.0, self.die)
        timer.daemon = True
        timer.start()


def _parents(path: Path) -> list[str]:
    return [parent.name for parent in path.parents]


def _halve(name: str, act: Callable[..., Any], files: Files, target: Any, rest: tuple[Any, ...]) -> None:
    """Do half of an operation, where there is a half."""
    if name in ("write", "append"):
        act(files, target, rest[0][: len(rest[0]) // 2])
    elif name == "produce":
        act(files, target, *rest)
        os.truncate(target, target.stat().st_size // 2)
    elif name == "remove" and target.is_dir():
        inner = sorted((path for path in target.rglob("*") if path.is_file()), reverse=True)
        for path in inner[: len(inner) // 2 + 1]:
            path.unlink()


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)

"""Files that fail at a chosen operation: for tests of everything that must survive a bad disk or a kill."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from codex_core.files import Files

#: How an operation can go wrong: not at all done, half done, half done with the disk full, or the process gone.
MODES = ("fail", "short", "full", "kill", "kill-half")

Given = TypeVar("Given")


class Killed(BaseException):
    """Stands for SIGKILL: nothing that comes after it is done, clean-up included."""


class FaultyFiles(Files):
    """Does what `Files` does, up to operation `at` (from 1), which goes wrong as `mode` says.

    After a kill every further operation is refused; after an error the disk works again. `done` lists the operations,
    of all threads. Syncs are counted and can fail, but are not done: no test pulls the plug, and syncing takes most
    of a save's time. With `at` 0 nothing goes wrong.
    """

    def __init__(self, at: int = 0, mode: str = "fail") -> None:
        self.at, self.mode = at, mode
        self.done: list[str] = []
        self._is_dead = False
        self._counting = threading.Lock()

    def die(self) -> None:
        """What a kill does; here an exception that nothing of ours catches."""
        self._is_dead = True
        raise Killed

    def _operate(self, name: str, act: Callable[[], Given], halve: Callable[[], None] | None = None) -> Given:
        with self._counting:
            if self._is_dead:
                raise Killed
            self.done.append(name)
            is_the_one = len(self.done) == self.at
        if not is_the_one:
            return act()
        if halve is not None and self.mode in ("short", "full", "kill-half"):
            halve()
        if self.mode.startswith("kill"):
            self.die()
        code = errno.ENOSPC if self.mode == "full" else errno.EIO
        raise OSError(code, os.strerror(code))

    def make_folder(self, path: Path) -> None:
        self._operate("make_folder", lambda: Files.make_folder(self, path))

    def write(self, path: Path, data: bytes) -> None:
        half = data[: len(data) // 2]
        self._operate("write", lambda: Files.write(self, path, data), lambda: Files.write(self, path, half))

    def produce(self, path: Path, writer: Callable[[Path], str | None]) -> str | None:
        def halve() -> None:
            writer(path)
            os.truncate(path, path.stat().st_size // 2)

        return self._operate("produce", lambda: writer(path), halve)

    def append(self, descriptor: int, data: bytes) -> None:
        half = data[: len(data) // 2]
        self._operate(
            "append",
            lambda: Files.append(self, descriptor, data),
            lambda: Files.append(self, descriptor, half),
        )

    def sync_file(self, path: Path) -> None:
        self._operate("sync_file", lambda: None)

    def sync_folder(self, path: Path) -> None:
        self._operate("sync_folder", lambda: None)

    def rename(self, source: Path, target: Path) -> None:
        self._operate("rename", lambda: Files.rename(self, source, target))

    def remove(self, path: Path) -> None:
        def halve() -> None:
            names = sorted(path.rglob("*"), reverse=True) if path.is_dir() else []
            for inner in names[: len(names) // 2 + 1]:
                inner.rmdir() if inner.is_dir() else inner.unlink()

        self._operate("remove", lambda: Files.remove(self, path), halve)

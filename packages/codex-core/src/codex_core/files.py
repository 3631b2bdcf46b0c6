"""Durable file operations, all through one object, so that tests can make any of them fail.

Decisions: a file appears whole or not at all (temporary name, fsync, rename, fsync of the folder); every
operation that can fail on the way of a commit is a method of `Files`, which the crash kit replaces.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path


class Files:
    """The operations of which commits are made."""

    def make_folder(self, path: Path) -> None:
        """Create a folder that must not exist yet (`FileExistsError`)."""
        path.mkdir()

    def write(self, path: Path, data: bytes) -> None:
        """Write a whole file."""
        with path.open("wb") as file:
            file.write(data)

    def produce(self, path: Path, writer: Callable[[Path], str | None]) -> str | None:
        """Let `writer` make the file at `path`: payload that only its owner can serialise. Gives what it gives."""
        return writer(path)

    def append(self, descriptor: int, data: bytes) -> None:
        """Append all of `data` to an open descriptor."""
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]

    def sync_file(self, path: Path) -> None:
        """Make a file's bytes durable."""
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def sync_folder(self, path: Path) -> None:
        """Make a folder's names durable."""
        self.sync_file(path)

    def rename(self, source: Path, target: Path) -> None:
        """Move a name within a file system, replacing a file at the target."""
        os.replace(source, target)

    def remove(self, path: Path) -> None:
        """Remove a file or a whole folder."""
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


#: The operations of this machine.
OS_FILES = Files()


def write_atomic(path: Path, data: bytes | str, *, files: Files = OS_FILES) -> None:
    """Replace `path` by `data` so that readers and crashes see the old or the new file, whole."""
    temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    try:
        files.write(temporary, data.encode() if isinstance(data, str) else data)
        files.sync_file(temporary)
        files.rename(temporary, path)
    except BaseException:  # an interrupt must not leave the temporary file either; raised again
        temporary.unlink(missing_ok=True)
        raise
    files.sync_folder(path.parent)

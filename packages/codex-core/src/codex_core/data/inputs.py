"""Finding, opening and naming the files that a dataset reads.

Decisions: folders are searched in sorted order of relative names; stored names are relative, with `/`; messages
show the path as the user can open it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs

from codex_core.canonical import file_digest
from codex_core.errors import InputError

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@attrs.frozen
class InputFile:
    """A file to read: where it is, and its relative name in everything that is stored."""

    path: Path
    name: str

    def identity(self) -> dict[str, Any]:
        """Name, size and digest of the bytes."""
        try:
            return {"name": self.name, "bytes": self.path.stat().st_size, "digest": file_digest(self.path)}
        except OSError as error:
            raise unreadable(self.path, error) from error

    def at(self, line: int) -> str:
        """The place of a line, for messages."""
        return f"{self.path}:{line}"


def find_files(path: str, *, glob: str) -> list[InputFile]:
    """The file at `path`, or the files below it that match `glob`; raises `InputError` when there is none."""
    start = Path(path)
    try:
        start.stat()
        if not start.is_dir():
            return [InputFile(start, start.name)]
        paths = sorted(start.glob(glob), key=lambda found: found.relative_to(start).parts)
        files = [InputFile(found, found.relative_to(start).as_posix()) for found in paths if found.is_file()]
    except (OSError, ValueError, NotImplementedError) as error:  # the last two: a pattern that `glob` refuses
        raise unreadable(start, error) from error
    if not files:
        raise InputError(
            code="DAT-001",
            what=f"no file matches {glob!r}",
            where=str(start),
            fix="name a file, or set `glob` to match the files of the folder",
        )
    return files


def unreadable(path: Path, error: Exception) -> InputError:
    """A file or folder that cannot be read, as a message."""
    missing = isinstance(error, FileNotFoundError)
    return InputError(
        code="DAT-001",
        what="the input does not exist" if missing else "the input cannot be read",
        where=str(path),
        why=getattr(error, "strerror", None) or str(error),
        fix="check the path; a relative one starts at the working directory",
    )

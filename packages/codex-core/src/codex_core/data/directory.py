"""The dataset `directory`: the text files of a tree, one document each.

Decisions: files come in sorted order of their relative names; links to folders are not followed, links to files
are read; a name is read when an `include` pattern matches it and no `exclude` pattern does. A file is binary when it
holds a zero byte; one without that is UTF-8 or unreadable.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from codex_core.data.faults import RowFault
from codex_core.data.files import FileDataset
from codex_core.data.inputs import BYTE_ORDER_MARK, InputFile, unreadable
from codex_core.data.jsonl import not_unicode
from codex_core.data.lines import BYTE_ORDER_MARK_NOTE
from codex_core.errors import InputError
from codex_core.records import Part, Record, plain_text

_WILD = re.compile(r"\*\*/|\*\*|\*|\?")
_WILD_PATTERNS = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


class DirectoryDataset(FileDataset):
    """Files of a tree as records; see `DirectoryOptions`."""

    reader = "directory/1"

    def files(self) -> list[InputFile]:
        """The files to read, sorted by the parts of their relative names."""
        top = Path(self.options.path)
        include = [pattern_of(glob) for glob in self.options.include]
        exclude = [pattern_of(glob) for glob in self.options.exclude]
        names = [
            name
            for name in _names(top)
            if any(pattern.fullmatch(name) for pattern in include)
            and not any(pattern.fullmatch(name) for pattern in exclude)
        ]
        if not names:
            raise InputError(
                code="DAT-001",
                what="no file of the folder is included",
                where=str(top),
                why=f"include: {', '.join(self.options.include)}; exclude: {', '.join(self.options.exclude)}",
                fix="set `include` and `exclude` to match the files of the folder",
            )
        return [InputFile(top / name, name) for name in sorted(names, key=lambda name: name.split("/"))]

    def settings(self) -> dict[str, Any]:
        """What happens to binary files; the patterns show in the names of the files."""
        return {"binary": self.options.binary}

    def rows(self, file: InputFile, part: Part | None) -> Iterator[Record]:
        """The file as one document, or nothing when it is skipped."""
        try:
            data = self._data(file)
            if data is not None:
                yield plain_text(data.decode(), id=file.name, source=(file.name, 1))
        except UnicodeDecodeError as error:
            fault = not_unicode(error.object, error)
            self.account.refuse(fault, file, 1 + error.object.count(b"\n", 0, error.start))
        except RowFault as fault:
            self.account.refuse(fault, file, 1)

    def _data(self, file: InputFile) -> bytes | None:
        """The bytes of a file without its byte-order mark; None when it is binary and such files are skipped."""
        limit = self.options.max_file_bytes
        try:
            with file.path.open("rb") as stream:
                data = stream.read(limit + 1)
        except OSError as error:
            raise unreadable(file.path, error) from error
        if b"\0" in data:
            if self.options.binary == "fail":
                raise _binary(data.index(b"\0"))
            self.account.skipped["binary"] += 1
            return None
        if len(data) > limit:
            raise _too_long(limit)
        if data.startswith(BYTE_ORDER_MARK):
            self.account.notes[BYTE_ORDER_MARK_NOTE] += 1
        return data.removeprefix(BYTE_ORDER_MARK)


def pattern_of(glob: str) -> re.Pattern[str]:
    """A glob of relative names as a regular expression.

    >>> bool(pattern_of("**/*.py").fullmatch("a/b/c.py")), bool(pattern_of("*.py").fullmatch("a/c.py"))
    (True, False)
    """
    found, last = "", 0
    for wild in _WILD.finditer(glob):
        found += re.escape(glob[last : wild.start()]) + _WILD_PATTERNS[wild[0]]
        last = wild.end()
    return re.compile(found + re.escape(glob[last:]), re.DOTALL)


def _names(top: Path) -> Iterator[str]:
    """Relative names of all files of a tree."""

    def fail(error: OSError) -> None:
        raise unreadable(Path(error.filename or top), error) from error

    if not top.is_dir():
        missing = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        fail(NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) if top.exists() else missing)
    for folder, _, names in os.walk(top, onerror=fail):
        for name in names:
            path = Path(folder) / name
            if path.is_file():
                yield path.relative_to(top).as_posix()


def _binary(position: int) -> RowFault:
    return RowFault(
        "DAT-024",
        "binary",
        expected="text",
        found=f"a zero byte at {position}",
        fix="exclude the file, or skip all such files with binary=skip",
    )


def _too_long(limit: int) -> RowFault:
    return RowFault(
        "DAT-006",
        "too-long",
        expected=f"a file of at most {limit} bytes",
        found="a longer one",
        fix="raise `max_file_bytes`, or exclude the file",
    )

"""What the datasets that read files share: finding, identity, parts, and an account of what was skipped.

Decisions: this is a base class, because a reader owes six members of which two are its own; the digest of a file is
computed once and again only when size, times or inode changed, or when the file was too young for its times to
tell; options that decide rows are part of the identity, and those that can only refuse are not, unless what they
refuse is skipped.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from codex_core.data.compressed import compression_of
from codex_core.data.faults import Account
from codex_core.data.forms import check_fields
from codex_core.data.inputs import InputFile, find_files, unreadable
from codex_core.errors import InputError, UsageError
from codex_core.records import Part, Record

#: Files written within this time before they are read may change again without new times.
_YOUNG_NS = 2_000_000_000

_LIMITS = ("max_line_bytes", "max_nesting", "max_file_bytes")


class FileDataset:
    """A dataset over files; a reader gives `reader`, `rows`, and where they differ `files` and `settings`."""

    reader: ClassVar[str]

    def __init__(self, options: Any) -> None:
        self.options = options
        self.account = Account(on_error=options.on_error, max_skip=options.max_skip)
        self._digests: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {}
        self._by_name: dict[str, InputFile] = {}

    def files(self) -> list[InputFile]:
        """The files to read, in order."""
        return find_files(self.options.path, glob=self.options.glob)

    def settings(self) -> dict[str, Any]:
        """What decides the rows beside the bytes of the files."""
        raise AssertionError("a reader says which of its options decide its rows")

    def rows(self, file: InputFile, part: Part | None) -> Iterator[Record]:
        """The rows of a file, or of one part of it."""
        raise AssertionError("a reader reads rows")

    def parts_of(self, file: InputFile, part_bytes: int) -> Iterator[Part]:
        """The parts of a file; a reader that cannot begin in the middle has one."""
        yield Part(file=file.name, start=0, end=file.path.stat().st_size)

    def identity(self) -> Mapping[str, Any]:
        """Reader, settings, and the digest of each file."""
        return {
            "reader": self.reader,
            **self.settings(),
            **skipping_identity(self.options),
            "files": [self._identity_of(file) for file in self.files()],
        }

    def records(self) -> Iterator[Record]:
        """The rows of all files, in order; raises `RowError` for the first that is unreadable and not to be skipped."""
        self.account.begin()
        for file in self.files():
            yield from self.rows(file, None)

    def parts(self, part_bytes: int) -> tuple[Part, ...]:
        """All rows as parts of about `part_bytes`; see `contracts.PartedDataset`."""
        found: list[Part] = []
        for file in self.files():
            try:
                found += self.parts_of(file, part_bytes)
            except OSError as error:
                raise unreadable(file.path, error) from error
        return tuple(found)

    def read(self, part: Part) -> Iterator[Record]:
        """The rows of one part."""
        self.account.begin()
        if part.file not in self._by_name:
            self._by_name = {file.name: file for file in self.files()}
        if part.file not in self._by_name:
            raise InputError(
                code="DAT-010",
                what=f"the input {part.file} is not there any more",
                where=self.options.path,
                fix="run the command again when nothing writes to the input",
            )
        file = self._by_name[part.file]
        yield from self.rows(file, part if compression_of(file.path) is None else None)

    def skipped(self) -> Mapping[str, int]:
        """Rows skipped by reason in the latest reading."""
        return dict(self.account.skipped)

    def notes(self) -> Mapping[str, int]:
        """Harmless things that were noticed in the latest reading."""
        return dict(self.account.notes)

    def _identity_of(self, file: InputFile) -> dict[str, Any]:
        try:
            stat = file.path.stat()
        except OSError as error:
            raise unreadable(file.path, error) from error
        seen = (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)
        held = self._digests.get(file.name)
        if held is not None and held[0] == seen:
            return held[1]
        began_ns = time.time_ns()
        identity = file.identity()
        if max(stat.st_mtime_ns, stat.st_ctime_ns) < began_ns - _YOUNG_NS:
            self._digests[file.name] = seen, identity
        return identity


def skipping_identity(options: Any) -> dict[str, Any]:
    """The part of an identity that exists only when unreadable rows are skipped."""
    if options.on_error == "fail":
        return {}
    limits = {name: getattr(options, name) for name in _LIMITS if hasattr(options, name)}
    return {"on_error": "skip", "max_skip": options.max_skip, **limits}


def row_settings(options: Any, *, place: str) -> dict[str, Any]:
    """Form, fields and group, as identities hold them; raises `UsageError` when they do not fit together."""
    check_fields(options.form, options.fields, place=place)
    settings: dict[str, Any] = {"group": options.group}
    if options.form == "text":
        settings["field"] = text_field(options)
    else:
        settings |= {"form": options.form, "fields": dict(options.fields), "learn": options.learn}
    return settings


def text_field(options: Any) -> str:
    """The field of the form `text`, as `field` or `fields` says; raises `UsageError` for two answers."""
    named = options.fields.get("text", options.field)
    if options.field not in ("text", named):
        raise UsageError(
            code="DAT-022",
            what=f"`field` says {options.field!r} and `fields` says {named!r}",
            fix="say it once",
        )
    return str(named)


def row_fields(options: Any) -> Mapping[str, str]:
    """The mapping of field names that a form is built with."""
    return {"text": text_field(options), **options.fields} if options.form == "text" else options.fields

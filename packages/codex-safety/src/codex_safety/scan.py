"""A search through files for secrets: which file, which line, which rule, never what was found.

Decisions: nothing is passed over silently: what is not searched is listed with the reason; symbolic links are not
followed; files are read in pieces through the policy's stream, so that size does not matter; bytes that are no
UTF-8 stay as they are, since secrets are ASCII; notebooks are searched cell by cell; names of files are redacted
like their contents.
"""

from __future__ import annotations

import codecs
import os
import stat
from pathlib import Path

import attrs

from codex_core.errors import InputError
from codex_core.records import Match
from codex_safety.lines import LineCounter
from codex_safety.notebooks import NOTEBOOK_LIMIT_BYTES, parts_of
from codex_safety.secrets import SecretsPolicy

#: Folders that hold other tools' copies of things: version control, caches, installed packages.
SKIPPED_FOLDERS = frozenset(
    {
        ".git",
        ".hg",
        ".svn",
        "__pycache__",
        ".mypy_cache",
        ".pytest_cache",
        ".ruff_cache",
        ".venv",
        "node_modules",
    }
)

#: More than the stream ever holds back, so that a match begins in this piece or the one before.
_PIECE_BYTES = 1 << 20
_HEAD_BYTES = 8192

#: What a file may begin with that says how it is to be read.
_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


@attrs.frozen(kw_only=True, order=True)
class Finding:
    """A secret: the file (relative to the scanned path), the line from 1, the rule; `part` of a notebook."""

    path: str
    part: str = ""
    line: int
    rule: str

    def place(self) -> str:
        """`file:line`, or `file#part:line` in a notebook."""
        return f"{self.path}{'#' if self.part else ''}{self.part}:{self.line}"


@attrs.frozen(kw_only=True, order=True)
class Unsearched:
    """Something that was not searched, and why."""

    path: str
    reason: str


@attrs.define(kw_only=True, eq=False)
class Scan:
    """What a search found; it is complete when nothing was unreadable."""

    findings: list[Finding] = attrs.field(factory=list)
    skipped: list[Unsearched] = attrs.field(factory=list)
    unreadable: list[Unsearched] = attrs.field(factory=list)
    num_files: int = 0
    num_bytes: int = 0

    @property
    def is_complete(self) -> bool:
        """Whether everything that should be searched was."""
        return not self.unreadable


def scan(root: Path, policy: SecretsPolicy) -> Scan:
    """Search a file or all files below a folder; raises `InputError` when there is nothing at `root`."""
    if not root.exists():
        raise InputError(
            code="SAF-002", what=f"there is nothing at {root}", where=str(root), fix="check the path"
        )
    result = Scan()
    searcher = _Searcher(policy, result)
    if root.is_dir():
        searcher.walk(root)
    else:
        searcher.search(root, root.name)
    result.findings.sort()
    return result


@attrs.frozen
class _Searcher:
    policy: SecretsPolicy
    result: Scan

    def search(self, path: Path, name: str) -> None:
        """Search one file, by its place and by the name to report it under."""
        try:
            if not stat.S_ISREG(path.stat().st_mode):
                self._skip(name, "no regular file")
            elif path.suffix == ".ipynb":
                self._search_notebook(path, name)
            else:
                self._search_text(path, name)
        except OSError as error:
            self.fail(name, error.strerror or type(error).__name__)

    def walk(self, folder: Path, prefix: str = "") -> None:
        """Search everything below a folder, in the order of names."""
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            self.fail(prefix or ".", error.strerror or type(error).__name__)
            return
        for entry in entries:
            name = prefix + entry.name
            if entry.is_symlink():
                self._skip(name, "symbolic link")
            elif not entry.is_dir(follow_symlinks=False):
                self.search(Path(entry.path), name)
            elif entry.name in SKIPPED_FOLDERS:
                self._skip(name, "folder of other tools")
            else:
                self.walk(Path(entry.path), name + "/")

    def fail(self, name: str, reason: str) -> None:
        """Note what should have been searched and was not."""
        self.result.unreadable.append(Unsearched(path=self._shown(name), reason=reason))

    def _skip(self, name: str, reason: str) -> None:
        self.result.skipped.append(Unsearched(path=self._shown(name), reason=reason))

    def _shown(self, name: str) -> str:
        """A name as it may be printed: no secret, no control characters, nothing that is no UTF-8."""
        shown = self.policy.inspect(name, "data").text
        return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in shown)

    def _search_text(self, path: Path, name: str) -> None:
        with path.open("rb") as file:
            piece = file.read(_HEAD_BYTES)
            encoding = next((kind for mark, kind in _MARKS.items() if piece.startswith(mark)), "utf-8")
            if encoding == "utf-8" and b"\0" in piece:
                self._skip(name, "binary")
                return
            errors = "surrogateescape" if encoding.startswith("utf-8") else "replace"
            decoder = codecs.getincrementaldecoder(encoding)(errors)
            stream, lines, num_reported = self.policy.stream("data"), LineCounter(), 0
            while piece:
                text = decoder.decode(piece)
                lines.add(text)
                stream.push(text)
                num_reported = self._report(stream.matches, num_reported, lines, name)
                self.result.num_bytes += len(piece)
                piece = file.read(_PIECE_BYTES)
            rest = decoder.decode(b"", final=True)
            lines.add(rest)
            stream.close(rest)
            self._report(stream.matches, num_reported, lines, name)
        self.result.num_files += 1

    def _search_notebook(self, path: Path, name: str) -> None:
        if path.stat().st_size > NOTEBOOK_LIMIT_BYTES:
            self.fail(name, "a notebook of more than 256 MiB")
            return
        data = path.read_bytes()
        try:
            parts = list(parts_of(data))
        except ValueError as error:
            self.fail(name, f"searched as text; it is no notebook: {error}")
            self._search_text(path, name)
            return
        for part, text in parts:
            for match in self.policy.inspect(text, "data").matches:
                line = text.count("\n", 0, match.start) + 1
                self._found(name, part=part, line=line, rule=match.rule)
        self.result.num_files += 1
        self.result.num_bytes += len(data)

    def _report(self, matches: list[Match], first: int, lines: LineCounter, name: str) -> int:
        """Make findings of the matches from number `first` on, while their lines are still known."""
        for match in matches[first:]:
            self._found(name, line=lines.line_at(match.start), rule=match.rule)
        return len(matches)

    def _found(self, name: str, *, line: int, rule: str, part: str = "") -> None:
        self.result.findings.append(Finding(path=self._shown(name), part=part, line=line, rule=rule))

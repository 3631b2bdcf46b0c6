"""The stored answer of the registry, and the test whether it still holds.

Decisions: one file per identity (interpreter, prefix, search path, finders, selection); first a line with the
checksum and the lengths of three parts: head (identity, inputs, presence of required modules), rows (rendered
JSON, printed as they are), facts (JSON, read on a miss). An input is compared by mtime, ctime, inode and size;
one that was younger than two seconds, or in the future, is compared by content too. A file of somebody else, or
that others may write, is not believed. Nothing here is ever required: whatever goes wrong means "look again".

This module is on the path of commands that answer at once: it imports nothing beyond what Python itself starts with.
"""

from __future__ import annotations

import os
import sys
import time
from binascii import crc32

from codex_core.plugins.locate import is_present

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

MAGIC = "codex-index/1"
YOUNG_NS = 2_000_000_000
ABSENT = "absent"
#: The mark of an input that is compared by content alone: unpacking an image gives its files new times and inodes.
CONTENT = "content"
KEPT_FILES = 32

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
#: A change in one of these modules makes every stored fact worthless.
_OWN_MODULES = (
    "__init__",
    "components",
    "hookspecs",
    "plugins/discovery",
    "plugins/hookcheck",
    "plugins/index",
    "plugins/locate",
    "plugins/probe",
    "plugins/probe_child",
    "plugins/probe_journal",
    "plugins/resolve",
    "plugins/selection",
    "plugins/survey",
)


class Stored:
    """An index file whose checksum holds: its three parts, and what its head says."""

    __slots__ = ("_body", "_cuts", "expires", "identity", "inputs", "path", "presence")

    def __init__(self, path: str, body: bytes, cuts: tuple[int, int]) -> None:
        self.path = path
        self._body = body
        self._cuts = cuts
        self.inputs: list[str] = []
        self.presence: dict[str, bool] = {}
        self.identity = ""
        self.expires = 0.0
        for line in body[: cuts[0]].decode("utf-8", "surrogateescape").split("\n"):
            mark, _, rest = line.partition(" ")
            if mark == "s":
                self.inputs.append(rest)
            elif mark == "p":
                self.presence[rest[2:]] = rest[0] == "1"
            elif mark == "i":
                self.identity = rest
            elif mark == "e":
                self.expires = float(rest)

    @property
    def rows(self) -> bytes:
        """The rendered rows: one JSON object per line, separated by commas."""
        return self._body[self._cuts[0] : self._cuts[1]]

    @property
    def facts(self) -> bytes:
        """What is known of each plugin, as JSON."""
        return self._body[self._cuts[1] :]

    def changed(self) -> set[str]:
        """Input paths that differ from what was stored."""
        return {path for mark, digest, path in map(_split, self.inputs) if not _unchanged(mark, digest, path)}

    def holds(self) -> bool:
        """Whether no input differs and nothing has expired; stops at the first difference."""
        if self.expires < time.time():
            return False
        return all(_unchanged(*line.split(" ", 2)) for line in self.inputs)

    def settled(self) -> list[str]:
        """The inputs without the digests that their age no longer asks for."""
        limit = time.time_ns() - YOUNG_NS
        return [
            line
            if mark in (ABSENT, CONTENT) or digest == "-" or _newest(mark) >= limit
            else f"{mark} - {path}"
            for line, (mark, digest, path) in ((line, _split(line)) for line in self.inputs)
        ]


def identity(search: Sequence[str], selection: str, version: str) -> str:
    """One line that names everything a stored answer depends on, apart from files."""
    finders = [getattr(one, "__qualname__", None) or type(one).__qualname__ for one in sys.meta_path]
    # Importing importlib_metadata adds a finder that finds no module.
    finders = [name for name in finders if name != "MetadataPathFinder"]
    parts = (
        MAGIC,
        version,
        sys.version,
        sys.executable,
        sys.prefix,
        tuple(search),
        tuple(finders),
        selection,
    )
    return ascii(parts)


def search_path() -> list[str]:
    """`sys.path` without the folder that Python put first for the script or the working directory.

    Entries that are relative, or no text, are left out: what they mean changes with the working directory.
    """
    entries = list(sys.path)
    if entries and not sys.flags.safe_path and _is_start_folder(entries[0]):
        del entries[0]
    absolute = (entry for entry in entries if isinstance(entry, str) and os.path.isabs(entry))
    return list({os.path.normcase(entry): entry for entry in reversed(list(absolute))}.values())[::-1]


def folders(environ: Mapping[str, str], home: str | None = None) -> list[str]:
    """Where index files may lie, best first; only the first one is written."""
    if place := environ.get("CODEX_INDEX"):
        return [place]
    home = home or environ.get("CODEX_HOME")
    if not home:
        cache = environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
        home = os.path.join(cache, "codex")
    return [os.path.join(home, "index"), os.path.join(sys.prefix, "share", "codex", "index")]


def read(wanted: str, places: Iterable[str]) -> Stored | None:
    """The first believable index for this identity, valid or not."""
    for place in places:
        stored = _read_file(os.path.join(place, _file_name(wanted)))
        if stored is not None and stored.identity == wanted:
            return stored
    return None


def read_valid(wanted: str, places: Iterable[str], search: Sequence[str]) -> Stored | None:
    """The stored answer for this identity, if everything it depends on is as it was."""
    stored = next((one for place in places if (one := _valid(wanted, place, search))), None)
    if stored is None:
        return None
    if (inputs := stored.settled()) != stored.inputs:
        write(
            wanted,
            os.path.dirname(stored.path),
            inputs=inputs,
            presence=stored.presence,
            expires=stored.expires,
            rows=stored.rows,
            facts=stored.facts,
        )
    return stored


def _valid(wanted: str, place: str, search: Sequence[str]) -> Stored | None:
    stored = read(wanted, [place])
    if stored is None or not stored.holds():
        return None
    here = all(is_present(name, search) is was for name, was in stored.presence.items())
    return stored if here else None


def write(
    wanted: str,
    place: str,
    *,
    inputs: Sequence[str],
    presence: Mapping[str, bool],
    expires: float,
    rows: bytes,
    facts: bytes,
) -> bool:
    """Store an answer atomically; False when the place cannot be written or a path cannot be spelt."""
    if any("\n" in text for text in (*inputs, *presence)):
        return False  # the format cannot spell it
    lines = [f"i {wanted}", f"e {expires}", *(f"p {int(there)} {name}" for name, there in presence.items())]
    text = "\n".join([*lines, *(f"s {line}" for line in inputs)])
    try:
        head = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    body = head + rows + facts
    first = f"{MAGIC} {crc32(body):08x} {len(head)} {len(rows)} {len(facts)}\n"
    path = os.path.join(place, _file_name(wanted))
    temporary = f"{path}.{os.getpid()}-{os.urandom(4).hex()}"
    try:
        os.makedirs(place, mode=0o700, exist_ok=True)
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(first.encode() + body)
        os.replace(temporary, path)
        _forget_old(place)
    except OSError:
        try:
            os.unlink(temporary)
        except OSError:
            pass
        return False
    return True


def describe(path: str, now_ns: int) -> str:
    """An input line for `path`: its marks, a digest of its content if it is young, the path."""
    mark = stamp(path)
    young = mark != ABSENT and _newest(mark) > now_ns - YOUNG_NS
    return f"{mark} {content_digest(path) if young else '-'} {path}"


def described_by_content(line: str) -> str:
    """An input line that holds wherever the same bytes lie under the same path."""
    mark, _, path = line.split(" ", 2)
    return line if mark == ABSENT else f"{CONTENT} {content_digest(path)} {path}"


def stamp(path: str) -> str:
    """mtime, ctime, inode and size of a file or folder, or that there is none."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return ABSENT
    return f"{found.st_mtime_ns}.{found.st_ctime_ns}.{found.st_ino}.{found.st_size}"


def content_digest(path: str) -> str:
    """A digest of a file's bytes or a folder's names; `?` when neither can be read."""
    from hashlib import sha256

    try:
        if os.path.isdir(path):
            names = "\0".join(sorted(name for name in os.listdir(path) if name != "__pycache__"))
            return sha256(os.fsencode(names)).hexdigest()
        with open(path, "rb") as file:
            return sha256(file.read()).hexdigest()
    except OSError:
        return "?"


def own_files() -> list[str]:
    """The files of the registry itself."""
    return [os.path.join(_PACKAGE, f"{name}.py") for name in _OWN_MODULES]


def _newest(mark: str) -> int:
    return max(map(int, mark.split(".")[:2]))


def _split(line: str) -> list[str]:
    return line.split(" ", 2)


def _unchanged(mark: str, digest: str, path: str) -> bool:
    if mark == CONTENT:
        return content_digest(path) == digest
    return stamp(path) == mark and (digest == "-" or content_digest(path) == digest)


def _file_name(wanted: str) -> str:
    # Two identities of one name only replace each other: the identity is compared in full when read.
    return f"{crc32(wanted.encode()):08x}{len(wanted):06x}.idx"


def _read_file(path: str) -> Stored | None:
    try:
        with open(path, "rb") as file:
            if not _is_trusted(os.fstat(file.fileno())):
                return None
            content = file.read()
        first, _, body = content.partition(b"\n")
        magic, checksum, *lengths = first.decode().split(" ")
        head, rows, facts = map(int, lengths)
        if magic != MAGIC or head + rows + facts != len(body) or int(checksum, 16) != crc32(body):
            return None
        return Stored(path, body, (head, head + rows))
    except (OSError, ValueError, IndexError):
        return None


def _is_trusted(found: os.stat_result) -> bool:
    if not hasattr(os, "geteuid"):
        return True
    return found.st_uid in (os.geteuid(), 0) and not found.st_mode & 0o022


def _is_start_folder(first: object) -> bool:
    if first == "":
        return True
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    try:
        return first in (os.getcwd(), script and os.path.dirname(os.path.abspath(script)))
    except OSError:
        return False


def _forget_old(place: str) -> None:
    """Keep the newest files only: identities come and go with every virtual environment."""
    files = [os.path.join(place, name) for name in os.listdir(place) if name.endswith(".idx")]
    if len(files) > KEPT_FILES:
        for path in sorted(files, key=os.path.getmtime)[:-KEPT_FILES]:
            os.unlink(path)

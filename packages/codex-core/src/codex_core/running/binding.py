"""What ties the files of a run to each other, so that none can change alone.

Decisions: at its start an attempt journals the digests of the files it stands on, and one short digest per entry of
its lock, so that a changed entry can be named; at its end `run.json` takes the digest of the journal's last line and
of every file beside it. Metric views are no part of this: they are recomputed from the journal. A page that can be
made again at any time (`*.html`) is no part of it either.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codex_core.canonical import digest_of, file_digest
from codex_core.events import FilesBound
from codex_core.lock import Lock
from codex_core.running.claims import LOCK_NAME
from codex_core.running.resuming import flat
from codex_core.runs import RunDir

#: The files that an attempt stands on.
FOUNDATIONS = ("lock.json", "config.yaml", "data.json", "environment.json")

#: Files that follow from the journal.
VIEWS = ("metrics.ndjson", "metrics.csv")

_NOT_SEALED = ("run.json", LOCK_NAME, *VIEWS)
_SHORT = 8


def bound(run: RunDir, lock: Lock) -> FilesBound:
    """The event that ties an attempt to its files."""
    held = {name: file_digest(run.path / name) for name in FOUNDATIONS if (run.path / name).is_file()}
    return FilesBound(files=held, entries=entries(lock.as_dict()))


def entries(lock: Mapping[str, Any]) -> dict[str, str]:
    """Short digests of a lock's values by dotted path."""
    return {
        path: digest_of(value).partition(":")[2][:_SHORT]
        for path, value in sorted(flat({**lock, "plugins": None}).items())
    } | {"plugins": digest_of(lock.get("plugins", ())).partition(":")[2][:_SHORT]}


def changed_entries(lock: Mapping[str, Any], bound_entries: Mapping[str, str]) -> list[str]:
    """The paths of a lock whose value is not the one that was bound."""
    now = entries(lock)
    return sorted(
        path for path in now.keys() | bound_entries.keys() if now.get(path) != bound_entries.get(path)
    )


def sealed(run: RunDir) -> dict[str, str]:
    """Digests of the files of a run that nothing else vouches for: those in its folder, and pointers."""
    held = [path for path in run.path.iterdir() if is_sealed(path)] + list(run.checkpoints.glob("*.json"))
    return {path.relative_to(run.path).as_posix(): file_digest(path) for path in sorted(held)}


def seal_pointers(run: RunDir) -> None:
    """Take the pointers as they are now, after a command that moved them; everything else stays as it was sealed."""
    record = run.record()
    if record["journal"] is None:
        return
    others = {name: digest for name, digest in record["files"].items() if "/" not in name}
    pointers = {name: digest for name, digest in sealed(run).items() if "/" in name}
    run.update({"files": others | pointers})


def is_sealed(path: Path) -> bool:
    """Whether `run.json` vouches for a file of the run's folder."""
    is_own = path.is_file() and not path.is_symlink() and not path.name.startswith(".")
    return is_own and path.name not in _NOT_SEALED and path.suffix != ".html"


def in_force(folder: Path, name: str, attempt: int, *, last: int) -> Path:
    """The file as it was in an attempt: what a later attempt replaced is kept as `<stem>.a<attempt><suffix>`."""
    path = folder / name
    for number in range(attempt, last):
        kept = path.with_name(f"{path.stem}.a{number}{path.suffix}")
        if kept.exists():
            return kept
    return path

"""The folder in which a prepared set grows: parts that any process or machine can add, until the set is put together.

Decisions: a job is named by what its parts are made from, so everybody who prepares the same adds to the same job; a
part appears whole or not at all, and is verified when it is used, so a part that was there is never done again and a
damaged one is found; a job that ended well is removed, one that was killed stays and is continued.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import attrs

from codex_core.canonical import digest_of, readable_json
from codex_core.data.columns import writing
from codex_core.data.store import Stored, damaged, in_use, obtain, verify
from codex_core.errors import CodexError, InputError
from codex_core.files import OS_FILES, Files, write_atomic

FOLDER = "jobs"

#: Written by `--chunk`: such a job belongs to several machines, and only `seal` or `gc` may end it.
SHARED = "job.json"


class _Unsynced(Files):
    """Files that need not survive a power failure: they are verified when used, and made again when damaged."""

    def sync_file(self, path: Path) -> None:
        """Leave it to the system when to write."""

    def sync_folder(self, path: Path) -> None:
        """Leave it to the system when to write."""


UNSYNCED_FILES = _Unsynced()


@attrs.frozen(kw_only=True)
class Job:
    """Numbered parts of one kind (`kind`) below `path`."""

    path: Path
    kind: str
    format: str
    identity: Mapping[str, Any]
    files: Files = OS_FILES

    def folder(self, number: int) -> Path:
        """Where a part is."""
        return self.path / self.kind / f"{number:05d}"

    def has(self, number: int) -> bool:
        """Whether a part is finished."""
        return (self.folder(number) / "manifest.json").exists()

    def obtain(self, number: int, fill: Callable[[Path], Mapping[str, Any]]) -> tuple[Stored, bool]:
        """A part, made by `fill` if it is not there; and whether it was. A damaged one is made again."""
        fingerprint = self._fingerprint(number)
        path = self.folder(number)
        if self.has(number):
            with suppress(CodexError, OSError, ValueError, KeyError):  # whatever is wrong, it is made again
                stored = verify(path, format=self.format)
                if stored.manifest["fingerprint"] == fingerprint:
                    return stored, True
            with writing(path):
                self.files.remove(path)
        stored, _ = obtain(path, fill, fingerprint=fingerprint, format=self.format, files=self.files)
        return stored, False

    def verified(self, number: int) -> Stored:
        """A finished part; raises `ArtefactError` when it is damaged or belongs to something else."""
        stored = verify(self.folder(number), format=self.format)
        if stored.manifest.get("fingerprint") != self._fingerprint(number):
            raise damaged(stored.path / "manifest.json", "it is a part of something else")
        return stored

    def _fingerprint(self, number: int) -> str:
        return digest_of({"job": dict(self.identity), "kind": self.kind, "number": number})


def job_path(store: Path, identity: Mapping[str, Any]) -> Path:
    """Where the job with this identity keeps its parts."""
    return store / FOLDER / digest_of(dict(identity)).partition(":")[2][:32]


def share(path: Path, *, refers: Mapping[str, Any], files: Files) -> None:
    """Mark a job as one of several machines, with what it refers to."""
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)
        write_atomic(path / SHARED, readable_json(dict(refers)), files=files)


def is_shared(path: Path) -> bool:
    """Whether several machines add to this job."""
    return (path / SHARED).exists()


@contextmanager
def using_job(path: Path) -> Iterator[None]:
    """Keep housekeeping away from a job while the block runs."""
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)
    with in_use(path):
        yield


def sweep(path: Path, *, files: Files) -> None:
    """Remove a job, and what is left of jobs whose removal was interrupted."""
    gone = path.with_name(f".gone-{os.getpid()}-{secrets.token_hex(4)}")
    with suppress(OSError):
        os.rename(path, gone)
    for leftover in path.parent.glob(".gone-*"):
        with suppress(OSError):
            files.remove(leftover)
    with suppress(OSError):
        path.parent.rmdir()


def missing(what: list[int], *, total: int, path: Path) -> InputError:
    """Parts that nobody has made yet, as a message."""
    shown = ", ".join(str(number + 1) for number in what[:10]) + (", ..." if len(what) > 10 else "")
    return InputError(
        code="DAT-031",
        what=f"{len(what)} of {total} parts are not there yet",
        where=str(path),
        why=f"missing: {shown}",
        fix="codex data prepare FILE --chunk 1/1 makes what is missing, or run the chunks that have not ended",
    )

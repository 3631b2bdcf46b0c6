"""One process per run: the lock of a run directory.

Decisions: `run.lock` is held with `flock` for as long as the process works on the run, and names host, pid and
start time. The kernel drops a `flock` with its holder, so a lock that can be taken is stale, whatever stands in it.
Where a file system offers no `flock`, the named process decides: on this host a dead one is stale, on another host
it is believed to live.
"""

from __future__ import annotations

import errno
import json
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from codex_core.errors import ArtefactError
from codex_core.running.processes import Process

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]  # absence is looked at below

LOCK_NAME = "run.lock"

_NO_FLOCK = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}
_TRIES = 5
_WAIT_S = 0.05  # a look at a lock from another process holds it for microseconds


class Claim:
    """The lock of a run, held from `take` to `release`; also a context manager."""

    def __init__(self, path: Path, descriptor: int, stale: Process | None) -> None:
        self._path, self._descriptor = path, descriptor
        #: The process that held the run before and ended without releasing it.
        self.stale = stale

    @classmethod
    def take(cls, run_dir: Path) -> Claim:
        """Claim a run for this process; raises `ArtefactError` naming host and pid of another holder."""
        path = run_dir / LOCK_NAME
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _lock(descriptor, run_dir)
            stale = holder(run_dir)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(Process.current().as_dict()).encode(), 0)
            os.fsync(descriptor)
        except BaseException:  # an interrupt must not keep the lock open; raised again
            os.close(descriptor)
            raise
        return cls(path, descriptor, stale)

    def release(self) -> None:
        """Give the run back; an empty lock file says that its last holder left in order."""
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            try:
                os.ftruncate(descriptor, 0)
            finally:
                os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def holder(run_dir: Path) -> Process | None:
    """The process that the lock names; None when it was released, never taken, or names nobody readable."""
    try:
        return Process.from_dict(json.loads((run_dir / LOCK_NAME).read_bytes()))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def is_held(run_dir: Path) -> bool:
    """Whether a living process works on the run, as far as this machine can see."""
    named = holder(run_dir)
    if named is None:
        return False
    alive = named.is_alive()
    return _is_locked(run_dir) if alive is None else alive


def _lock(descriptor: int, run_dir: Path) -> None:
    for _ in range(_TRIES):
        refusal = _try_lock(descriptor)
        named = holder(run_dir)
        if refusal is None:
            return
        if refusal.errno in _NO_FLOCK:
            if named is None or named.is_alive() is False:
                return
            break
        if named is not None and named.is_alive():
            break
        time.sleep(_WAIT_S)
    who = str(named) if named is not None else "another process"
    raise ArtefactError(
        code="RUN-003",
        what=f"the run is in use by {who}",
        where=str(run_dir),
        why="two processes on one run would spoil its journal and checkpoints",
        fix=f"wait for it or stop it; if it is gone for certain: rm '{run_dir / LOCK_NAME}'",
    )


def _try_lock(descriptor: int) -> OSError | None:
    if fcntl is None:
        return OSError(errno.ENOSYS, "no flock on this platform")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error
    return None


def _is_locked(run_dir: Path) -> bool:
    """Look at the lock of a process on another host by taking it for a moment, shared."""
    if fcntl is None:
        return True
    try:
        with (run_dir / LOCK_NAME).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    return False

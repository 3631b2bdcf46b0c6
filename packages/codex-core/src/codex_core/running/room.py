"""Whether a disk has room for the checkpoints that a run is going to keep.

Decision: a prediction warns and never refuses, because what it counts may be an upper bound and other processes free
and fill the disk meanwhile; a disk that really fills ends the run with its earlier checkpoints whole.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from codex_core.events import Event, Warned
from codex_core.lock import Lock


def free_bytes(folder: Path) -> int:
    """Bytes that can still be written below a folder that exists."""
    return shutil.disk_usage(folder).free


def notice_room(folder: Path, lock: Lock, *, free: Callable[[Path], int] = free_bytes) -> list[Event]:
    """A warning when the checkpoints of a run would not fit below `folder`; nothing when their size is unknown."""
    there = free(folder)
    if lock.disk_bytes is None or lock.disk_bytes <= there:
        return []
    text = (
        f"the checkpoints of this run take up to {lock.disk_bytes:,} bytes and {there:,} are free at {folder}: "
        "free some space, or keep fewer with checkpoint.keep_last, keep_best and keep_every"
    )
    return [Warned(code="RUN-031", text=text)]

"""Who a process is, whether it still lives, and what killed it where the kernel kept count.

Decisions: a process is host, boot, pid and start time, so that a reused pid is not taken for the old process; the
number of out-of-memory kills of its cgroup is noted at the start, so that a death by the kernel can be told later.
Everything beyond pid and host is read from `/proc` and `/sys` and is absent where these are.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

_PROC = Path("/proc")
_CGROUPS = Path("/sys/fs/cgroup")


@attrs.frozen(kw_only=True)
class Process:
    """One process on one machine; `started` is in clock ticks since `boot`, None where unknown."""

    host: str
    pid: int
    started: int | None = None
    boot: str | None = None
    oom_kills: int | None = None

    @classmethod
    def current(cls) -> Process:
        """This process."""
        pid = os.getpid()
        return cls(
            host=socket.gethostname(),
            pid=pid,
            started=_start_ticks(pid),
            boot=_boot_id(),
            oom_kills=num_oom_kills(),
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Process:
        """Read back `as_dict`; raises `TypeError`, `KeyError` or `ValueError` for anything else."""
        names = {field.name for field in attrs.fields(cls)}
        held = cls(**{name: value for name, value in values.items() if name in names})
        if not (isinstance(held.host, str) and isinstance(held.pid, int)):
            raise ValueError("a process has a host and a pid")
        return held

    def as_dict(self) -> dict[str, Any]:
        """The process as plain values."""
        return attrs.asdict(self)

    @property
    def is_here(self) -> bool:
        """Whether the process belongs to this machine, as it has run since its last start."""
        return self.host == socket.gethostname() and (self.boot is None or self.boot == _boot_id())

    def is_alive(self) -> bool | None:
        """Whether the process still runs; None when it belongs to another machine and cannot be seen."""
        if self.host != socket.gethostname():
            return None
        if not self.is_here:
            return False  # the same host has been started again since
        if self.started is not None:
            return _start_ticks(self.pid) == self.started
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True

    def cause_of_death(self) -> str:
        """What is known of why a dead process ended without saying so."""
        now = num_oom_kills() if self.is_here else None
        if self.oom_kills is not None and now is not None and now > self.oom_kills:
            return f"out of memory (cgroup oom_kill {now - self.oom_kills})"
        return "the process ended without a record (killed, or the machine stopped)"

    def __str__(self) -> str:
        return f"process {self.pid} on host {self.host}"


def num_oom_kills() -> int | None:
    """How many processes the kernel has killed for memory in this process's cgroup; None where not counted."""
    try:
        lines = (_PROC / "self/cgroup").read_text().splitlines()
        group = next(line.split("::", 1)[1] for line in lines if line.startswith("0::"))
        events = (_CGROUPS / group.lstrip("/") / "memory.events").read_text()
    except (OSError, StopIteration):
        return None
    counts = dict(line.split() for line in events.splitlines() if len(line.split()) == 2)
    return int(counts["oom_kill"]) if counts.get("oom_kill", "").isdigit() else None


def _boot_id() -> str | None:
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None


def _start_ticks(pid: int) -> int | None:
    try:
        text = (_PROC / f"{pid}/stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the command name may hold spaces and brackets
    return None if fields[0] in ("Z", "X") else int(fields[19])  # field 22 of proc(5), 20th after the name

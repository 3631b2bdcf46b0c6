"""Peak memory of a process and everything below it, sampled while it runs.

Decisions: PSS (shared pages divided among those who share them) and RSS are summed over the tree, from /proc; what
lives shorter than the interval between two samples can be missed, so the peak is a lower bound.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

INTERVAL_S = 0.05


class Watched(NamedTuple):
    """How a command ended, how long it took, and the peaks of its tree in bytes."""

    code: int
    wall_s: float
    peak_pss: int
    peak_rss: int
    said: str


def watch(
    command: Sequence[str], *, cwd: Path | None = None, environ: Mapping[str, str] | None = None
) -> Watched:
    """Run a command to its end and sample the memory of its process tree."""
    start = time.monotonic()
    process = subprocess.Popen(
        command, cwd=cwd, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    peak_pss = peak_rss = 0
    while process.poll() is None:
        sampled = [memory_of(pid) for pid in tree(process.pid)]
        peak_pss = max(peak_pss, sum(pss for pss, _ in sampled))
        peak_rss = max(peak_rss, sum(rss for _, rss in sampled))
        try:
            process.wait(INTERVAL_S)
        except subprocess.TimeoutExpired:
            continue
    wall = time.monotonic() - start
    said = process.stderr.read()[-2000:] if process.stderr is not None else ""
    return Watched(process.returncode, wall, peak_pss, peak_rss, said)


def tree(pid: int) -> list[int]:
    """A process and its living descendants."""
    found = [pid]
    for parent in found:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += [int(child) for child in children.read_text().split()]
            except OSError:
                continue
    return found


def memory_of(pid: int) -> tuple[int, int]:
    """PSS and RSS of one process in bytes; zeros when it has ended."""
    values = {"Pss": 0, "Rss": 0}
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            name, _, rest = line.partition(":")
            if name in values:
                values[name] = int(rest.split()[0]) * 1024
    except OSError:
        return 0, 0
    return values["Pss"], values["Rss"]

"""How many processors this process may use. Apart from `environment`, because a plan asks for nothing else of it."""

from __future__ import annotations

import math
import os
from pathlib import Path

_CGROUP_LIMIT = Path("/sys/fs/cgroup/cpu.max")


def num_cpus() -> int:
    """Processors that this process may use: its affinity, cut to the limit of its control group."""
    affinity = getattr(os, "sched_getaffinity", None)
    count = len(affinity(0)) if affinity else os.cpu_count() or 1
    try:
        quota, period = _CGROUP_LIMIT.read_text().split()
        limit = count if quota == "max" else math.ceil(int(quota) / int(period))
    except (OSError, ValueError):
        limit = count
    return max(1, min(count, limit))

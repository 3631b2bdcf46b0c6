"""The machine and the software of a run, collected once at the edge.

Decisions: what can change a result or explain it (Python, packages, processors, code revision, a short list of
variables) and nothing that names a person or a machine; everything passes the scrubber; what cannot be found out
is null.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from codex_core.running.processors import num_cpus as num_cpus
from codex_core.scrub import Scrubber

#: Distributions whose versions belong to every run.
PACKAGES = (
    "codex-core",
    "codex-models",
    "codex-tokenizers",
    "codex-telemetry",
    "codex-safety",
    "torch",
    "tokenizers",
    "numpy",
    "safetensors",
)

#: Variables that change numbers or speed; no other variable is recorded.
VARIABLES = (
    "ATEN_CPU_CAPABILITY",
    "CODEX_PLUGINS",
    "CODEX_PLUGINS_OFF",
    "CUBLAS_WORKSPACE_CONFIG",
    "CUDA_VISIBLE_DEVICES",
    "MKL_CBWR",
    "MKL_NUM_THREADS",
    "OMP_DYNAMIC",
    "OMP_NUM_THREADS",
    "OMP_THREAD_LIMIT",
    "OMP_WAIT_POLICY",
    "ONEDNN_MAX_CPU_ISA",
    "PYTHONHASHSEED",
    "TOKENIZERS_PARALLELISM",
)


#: Instruction sets by which kernels are chosen.
ISA = (
    "amx_bf16",
    "amx_tile",
    "asimd",
    "asimddp",
    "avx",
    "avx2",
    "avx512_bf16",
    "avx512_fp16",
    "avx512_vnni",
    "avx512bw",
    "avx512f",
    "avx512vl",
    "avx_vnni",
    "bf16",
    "f16c",
    "fma",
    "sse4_2",
    "sve",
    "sve2",
)


def collect(*, environ: Mapping[str, str], folder: Path) -> dict[str, Any]:
    """Plain values for `environment.json` and for a lock, scrubbed.

    `folder` is where the command was given: its git revision is recorded. The command line itself is not part of
    it, because a resume has another one.
    """
    collected: dict[str, Any] = Scrubber.of(environ)(
        {
            "python": platform.python_version(),
            "implementation": platform.python_implementation(),
            "platform": platform.platform(),
            "machine": platform.machine(),
            "packages": packages(),
            "hardware": {
                "cpus": num_cpus(),
                "cpu": _cpu_model(),
                "isa": isa(),
                "memory_bytes": memory_bytes(),
            },
            "variables": {name: environ[name] for name in VARIABLES if name in environ},
            "git": git_state(folder),
        }
    )
    return collected


def packages(names: Sequence[str] = PACKAGES) -> dict[str, str | None]:
    """Versions of distributions by name, null for those that are not installed."""
    found: dict[str, str | None] = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


def git_state(folder: Path) -> dict[str, Any] | None:
    """Revision, branch and whether tracked files differ; null outside a repository or without git."""
    revision = _git(folder, "rev-parse", "HEAD")
    if revision is None:
        return None
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return {
        "revision": revision,
        "branch": _git(folder, "rev-parse", "--abbrev-ref", "HEAD"),
        "changed": None if changes is None else bool(changes),
    }


def _git(folder: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(folder), *arguments]
    quiet = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, env=quiet, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _cpu_model() -> str | None:
    try:
        with Path("/proc/cpuinfo").open() as file:
            named = (line.partition(":")[2].strip() for line in file if line.startswith("model name"))
            return next(named, None)
    except OSError:
        return platform.processor() or None


def isa() -> str | None:
    """Instruction sets of the processor on which numbers may depend, in one line; null where Linux tells none."""
    try:
        with Path("/proc/cpuinfo").open() as file:
            lines = (
                line.partition(":")[2].split() for line in file if line.startswith(("flags", "Features"))
            )
            return " ".join(sorted(set(next(lines, [])) & set(ISA))) or None
    except OSError:
        return None


def memory_bytes() -> int | None:
    """Memory of the machine, null where the system does not tell."""
    if sys.platform == "win32":
        return None
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError):
        return None

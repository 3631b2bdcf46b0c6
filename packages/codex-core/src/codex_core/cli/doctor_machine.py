"""What the machine offers, for `codex doctor`: torch, accelerators, processors, memory, disks.

Decisions: torch is asked in a child process, so that the doctor survives a broken one; `quick` asks metadata and
files alone; a file system is known by the longest mount that holds the folder, or by the nearest folder above.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codex_core.cli.finding import Finding, ok
from codex_core.cli.output import human_bytes
from codex_core.places import Places
from codex_core.running.environment import memory_bytes, num_cpus

#: What torch is asked, in a process of its own; one JSON object on the last line.
_ASK_TORCH = """
import json, torch
cuda = torch.cuda.is_available()
print(json.dumps({
    "version": torch.__version__, "threads": torch.get_num_threads(), "built_for": torch.version.cuda,
    "cuda": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if cuda else [],
    "bf16": bool(cuda and torch.cuda.is_bf16_supported()),
}))
"""
TORCH_S = 60.0
#: Flags of processors that multiply bfloat16 natively.
BF16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}
LOW_DISK_BYTES = 2e9
LOW_MEMORY_BYTES = 2e9

NETWORK = (
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "9p",
    "lustre",
    "gpfs",
    "ceph",
    "beegfs",
    "glusterfs",
    "afs",
)
FLEETING = ("tmpfs", "ramfs")


def look(
    places: Places, *, ask_torch: bool, environ: Mapping[str, str], root: Path = Path("/")
) -> list[Finding]:
    """All rows on the machine; `root` is where `proc`, `sys` and `dev` are found."""
    return [*torch_rows(ask=ask_torch, root=root), *processors(environ), memory(root), *folders(places, root)]


def torch_rows(*, ask: bool, root: Path = Path("/")) -> list[Finding]:
    """`torch`, `cuda` and `bf16`."""
    try:
        version = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        effect, fix = "models of runtime torch cannot be trained or opened", "pip install codex-models"
        return [_absent(name, "torch is not installed", effect, fix) for name in ("torch", "cuda", "bf16")]
    if not ask:
        rows = [ok("compute", "torch", f"{version} (by its metadata)")]
        return [*rows, *(_unasked(name, root) for name in ("cuda", "bf16"))]
    said = _ask_torch()
    if "error" in said:
        broken = Finding(
            area="compute",
            name="torch",
            state="bad",
            value=version,
            cause=said["error"],
            effect="models of runtime torch cannot be trained or opened",
            fix="pip install --force-reinstall torch",
        )
        return [broken, *(_unasked(name, root) for name in ("cuda", "bf16"))]
    return [
        ok("compute", "torch", f"{said['version']}, {said['threads']} threads"),
        *_accelerators(said, root),
    ]


def _accelerators(said: Mapping[str, Any], root: Path) -> list[Finding]:
    if said["cuda"]:
        devices = ", ".join(said["cuda"])
        rows = [ok("compute", "cuda", f"{devices} (CUDA {said['built_for']})")]
        if said["bf16"]:
            return [*rows, ok("compute", "bf16", "supported")]
        return [
            *rows,
            _absent("bf16", "the accelerator has no bfloat16", "training there uses float32", None),
        ]
    effect = "training runs on the processors"
    if said["built_for"] is None:
        cause, fix = "this torch was built without CUDA", "install a torch that was built for your driver"
    elif _has_nvidia(root):
        cause, fix = "torch cannot use the device that is there", "nvidia-smi, then compare driver and torch"
    else:
        cause, fix = "there is no NVIDIA device", None
    return [_absent("cuda", cause, effect, fix), _processor_bf16(root)]


def _processor_bf16(root: Path) -> Finding:
    """Whether the processor multiplies bfloat16 by itself, by the flags that the kernel shows."""
    try:
        flags = set((root / "proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split())
    except OSError:
        flags = set()
    if found := sorted(BF16_FLAGS & flags):
        return ok("compute", "bf16", f"on the processor ({', '.join(found)})")
    return _absent("bf16", "the processor has no bfloat16 of its own", "training uses float32", None)


def _ask_torch() -> dict[str, Any]:
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # what multiprocessing uses
    command = [sys.executable, *flags, "-c", _ASK_TORCH]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TORCH_S, check=False
        )
        said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return said
    except subprocess.TimeoutExpired:
        return {"error": f"importing torch took longer than {TORCH_S:.0f} s"}
    except (OSError, ValueError, IndexError):
        last = done.stderr.strip().splitlines()[-1:] if "done" in locals() else []
        return {"error": last[0] if last else "torch could not be asked"}


def _has_nvidia(root: Path) -> bool:
    return (root / "proc/driver/nvidia/version").exists() or (root / "dev/nvidiactl").exists()


def _unasked(name: str, root: Path) -> Finding:
    seen = "a driver is there" if _has_nvidia(root) else "no driver was seen"
    return Finding(
        area="compute",
        name=name,
        state="unknown",
        value=f"not asked, {seen}",
        cause="torch was not imported",
        effect=None,
        fix="codex doctor --require cuda",
    )


def _absent(name: str, cause: str, effect: str, fix: str | None) -> Finding:
    return Finding(area="compute", name=name, state="absent", value="-", cause=cause, effect=effect, fix=fix)


def processors(environ: Mapping[str, str]) -> list[Finding]:
    """Processors that this process may use, and the number of threads that was set."""
    usable, there = num_cpus(), os.cpu_count() or 1
    value = f"{usable} of {there}" if usable < there else str(usable)
    rows = [ok("compute", "processors", value)]
    wanted = environ.get("OMP_NUM_THREADS", "")
    if wanted.isdigit() and int(wanted) > usable:
        rows.append(
            Finding(
                area="compute",
                name="threads",
                state="warn",
                value=f"OMP_NUM_THREADS={wanted}",
                cause=f"more threads than the {usable} processors that may be used",
                effect="threads wait for each other; training is slower",
                fix=f"export OMP_NUM_THREADS={usable}",
            )
        )
    else:
        rows.append(
            ok("compute", "threads", f"OMP_NUM_THREADS={wanted}" if wanted else f"{usable}, by default")
        )
    return rows


def memory(root: Path = Path("/")) -> Finding:
    """Memory of the machine, and what the control group leaves of it."""
    total, limit = memory_bytes(), cgroup_limit(root)
    least = min((value for value in (total, limit) if value is not None), default=None)
    if least is None:
        return Finding(
            area="compute", name="memory", state="unknown", value="-", cause="it cannot be read here"
        )
    shown = human_bytes(total or least) + (f", limited to {human_bytes(limit)}" if limit == least else "")
    if least >= LOW_MEMORY_BYTES:
        return ok("compute", "memory", shown)
    return Finding(
        area="compute",
        name="memory",
        state="warn",
        value=shown,
        cause="the control group limits it" if limit == least else "the machine has no more",
        effect="training may be ended by the system without a word",
        fix="raise the memory limit of the container or job",
    )


def cgroup_limit(root: Path = Path("/")) -> int | None:
    """The memory that the control group of this process allows, in bytes; None without a limit."""
    for name in ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            text = (root / name).read_text().strip()
        except OSError:
            continue
        # Version 1 says "no limit" with a number near 2**63.
        return int(text) if text.isdigit() and int(text) < 2**60 else None
    return None


def folders(places: Places, root: Path = Path("/")) -> list[Finding]:
    """The folders that Codex writes to: kind of file system, free space, permission."""
    named = {"runs": places.runs, "store": places.store, "state": places.state, "home": places.home}
    return [_folder(name, path, root) for name, path in named.items()]


def _folder(name: str, path: Path, root: Path) -> Finding:
    there = next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.is_dir())
    kind, free = file_system(there, root) or "unknown file system", shutil.disk_usage(there).free
    value = f"{path}, {kind}, {human_bytes(free)} free"
    cause, effect, fix = _trouble(name, there, kind, free)
    if cause is None:
        return ok("storage", name, value)
    state = "bad" if not os.access(there, os.W_OK) else "warn"
    return Finding(area="storage", name=name, state=state, value=value, cause=cause, effect=effect, fix=fix)


def _trouble(name: str, folder: Path, kind: str, free: int) -> tuple[str | None, str | None, str | None]:
    """Cause, effect and fix of what is wrong with a folder, the worst first."""
    elsewhere = {"runs": "--run-dir DIR", "store": "export CODEX_STORE=DIR", "home": "export CODEX_HOME=DIR"}
    fix = elsewhere.get(name, "work in a folder of your own")
    if not os.access(folder, os.W_OK):
        return f"{folder} cannot be written", "nothing can be kept there", fix
    if free < LOW_DISK_BYTES:
        return f"less than {human_bytes(LOW_DISK_BYTES)} are free", "runs may end with a full disk", fix
    if kind in FLEETING and name in ("runs", "store", "state"):
        return "the file system is held in memory", "what is kept there is gone after a restart", fix
    if kind in NETWORK and name in ("state", "store"):
        return "a network file system", "locks and many small files are slow there", fix
    return None, None, None


def file_system(folder: Path, root: Path = Path("/")) -> str | None:
    """The kind of file system that holds a folder, from the table of mounts; None where there is no such table."""
    try:
        lines = (root / "proc/self/mounts").read_text().splitlines()
    except OSError:
        return None
    mounts = [
        (fields[1].replace("\\040", " "), fields[2]) for line in lines if len(fields := line.split()) > 2
    ]
    real = folder.resolve()
    holding = [(len(where), kind) for where, kind in mounts if real.is_relative_to(where)]
    return max(holding, key=lambda one: one[0])[1] if holding else None

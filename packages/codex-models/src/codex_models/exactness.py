"""What a run promises about repetition, and the arithmetic that the promise stands on.

L0 is seeded. L1 is equal to the bit on the same machine. L2 is also equal to the bit across micro-batch splits: each
row is computed by itself, with one shape, and gradients and losses are added in the order of rows. L3, across
numbers of processes, is refused: this trainer has one.

Decisions: whatever changes a bit (device, precision, threads, torch, processor capability, kernels, compilation) is
the arithmetic of a run; it is saved with every checkpoint, and L1 and L2 refuse to go on with another one. A few
small products are computed and their bytes digested, so that kernels that differ are noticed even where all names
agree. L0 insists on device and precision only. A run may go on with a lower level than it had, never with a higher.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import blake3
import torch

from codex_core.errors import CapabilityMissing, ConfigError
from codex_core.lock import Lock
from codex_models.precision import dtype_name

#: Values of cuBLAS's variable with which its products are repeatable.
_REPEATABLE_WORKSPACES = (":4096:8", ":16:8")

#: What even a seeded run does not change on the way.
_ALWAYS_EQUAL = ("device", "dtype")


def require_level(
    lock: Lock, device: torch.device, *, environ: Mapping[str, str] = os.environ, threads: int | None = None
) -> None:
    """Raise `CapabilityMissing` when the exactness level of the lock cannot be held here."""
    level = lock.exactness
    if level == "L0":
        return
    now = torch.get_num_threads() if threads is None else threads
    if level not in ("L1", "L2"):
        raise _refused(level, "this trainer runs in one process, so nothing can be equal across several")
    if now != lock.threads:
        raise _refused(level, f"the run is locked to {lock.threads} threads and torch uses {now}")
    if not torch.are_deterministic_algorithms_enabled():
        raise _refused(level, "torch's deterministic algorithms are switched off")
    workspace = environ.get("CUBLAS_WORKSPACE_CONFIG")
    if device.type == "cuda" and workspace not in _REPEATABLE_WORKSPACES:
        raise _refused(
            level,
            f"products on this device are repeatable only with a fixed workspace, which is {workspace!r}",
            fix=f"export CUBLAS_WORKSPACE_CONFIG={_REPEATABLE_WORKSPACES[0]}",
        )


def arithmetic_of(lock: Lock, *, device: torch.device, dtype: torch.dtype, compiled: bool) -> dict[str, str]:
    """Everything that decides the bits of a step beside the data and the options."""
    found = {"device": device.type, "dtype": dtype_name(dtype), "exactness": lock.exactness}
    if lock.exactness == "L0":
        return found
    return found | {
        "threads": str(torch.get_num_threads()),
        "torch": torch.__version__,
        "processor": torch.backends.cpu.get_cpu_capability(),
        "mkldnn": "on" if torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled else "off",
        "deterministic": "on" if torch.are_deterministic_algorithms_enabled() else "off",
        "compile": "on" if compiled else "off",
        "accelerator": torch.cuda.get_device_name(device) if device.type == "cuda" else "none",
        "kernels": kernel_digest(device, dtype),
    }


def kernel_digest(device: torch.device, dtype: torch.dtype) -> str:
    """A short digest of a few small products, sums and exponentials: other kernels give another one."""
    base = torch.arange(96 * 160, dtype=torch.float64).reshape(96, 160)
    left = torch.sin(base * 0.37).to(device=device, dtype=dtype)
    right = torch.cos(base * 0.11).to(device=device, dtype=dtype)
    product = left @ right.t()
    results = (product, left.t() @ product, torch.softmax(product, -1), left.float().sum(0), product.exp())
    hasher = blake3.blake3()
    for tensor in results:
        hasher.update(tensor.to("cpu").contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return hasher.hexdigest()[:16]


def require_same_arithmetic(began: Mapping[str, Any], now: Mapping[str, str], *, where: str) -> None:
    """Raise `ConfigError` when a checkpoint would be continued with another arithmetic or a higher promise."""
    promised = min(str(began.get("exactness", now["exactness"])), now["exactness"])
    if promised < now["exactness"]:
        raise _another(
            where,
            f"it began with exactness {promised}, and what was not promised from the start cannot be promised now",
            fix=f"run.exactness={promised}",
        )
    asked = _ALWAYS_EQUAL if promised == "L0" else tuple(began)
    differing = [
        name for name in asked if name in began and name != "exactness" and began[name] != now.get(name)
    ]
    if differing:
        before = ", ".join(f"{name} {began[name]}" for name in differing)
        after = ", ".join(f"{name} {now.get(name, 'unknown')}" for name in differing)
        fix = "set trainer.precision and trainer.device to what the run began with"
        if not set(differing) & set(_ALWAYS_EQUAL):
            fix = "resume where the run began, or give up the promise: run.exactness=L0"
        raise _another(where, f"began with {before}; here it is {after}", fix=fix)


def _another(where: str, why: str, *, fix: str) -> ConfigError:
    return ConfigError(
        code="TRN-006",
        what="the run would continue with another arithmetic than it began with",
        where=where,
        why=why,
        fix=fix,
    )


def _refused(
    level: str, why: str, *, fix: str = "run.exactness=L0 promises a seeded run only"
) -> CapabilityMissing:
    return CapabilityMissing(
        code="TRN-009",
        what=f"exactness {level} cannot be held here",
        where="run.exactness",
        why=why,
        fix=fix,
    )

"""Devices, dtypes and the settings of this process under which a run is repeatable.

Decisions: a device or dtype is used as asked or refused, never replaced; `auto` precision is a pure function of
the processor's features; threads and deterministic kernels are set for the length of a run and put back.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch

from codex_core.errors import CapabilityMissing, UsageError

#: Processor features (x86 and Arm spellings) that multiply bf16 natively.
_BF16_FEATURES = {"avx512_bf16", "amx_bf16", "bf16"}

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float64": torch.float64}

_PRECISIONS = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}

#: torch's switch for overwriting fresh memory under deterministic algorithms (it has no types).
_FILLING: Any = torch.utils.deterministic

# glibc's mallopt: hand large blocks back to the system never, instead of after each use.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def device_for(name: str) -> torch.device:
    """The device called `name`, for `auto` a GPU or else the processor.

    Raises `CapabilityMissing` when this machine has none of that name.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.partition(":")[0] == "cuda" and not torch.cuda.is_available():
        raise CapabilityMissing(
            code="MOD-003",
            what=f"device '{name}' was asked for and this machine has no usable CUDA device",
            why=f"torch {torch.__version__} reports none",
            fix="use device=cpu, or a machine with a GPU and a CUDA build of torch",
        )
    try:
        return torch.device(name)
    except RuntimeError as error:
        raise UsageError(
            code="MOD-004", what=f"unknown device '{name}'", why=str(error), fix="cpu, cuda or auto"
        ) from error


def inference_dtype(name: str | None) -> torch.dtype:
    """The dtype called `name`; float32 for None; raises `UsageError` for others."""
    if name is None:
        return torch.float32
    if name not in _DTYPES:
        raise UsageError(code="MOD-004", what=f"unknown dtype '{name}'", fix=f"one of {', '.join(_DTYPES)}")
    return _DTYPES[name]


def training_dtype(precision: str, device: torch.device) -> torch.dtype:
    """The dtype of activations for `auto`, `bf16`, `fp16` or `fp32`; raises `CapabilityMissing` for fp16 on a CPU."""
    if precision == "auto":
        native = torch.cuda.is_bf16_supported() if device.type == "cuda" else _processor_multiplies_bf16()
        return torch.bfloat16 if native else torch.float32
    if precision == "fp16" and device.type == "cpu":
        raise CapabilityMissing(
            code="TRN-007",
            what="precision fp16 is not possible on this device: cpu",
            where="trainer.precision",
            why="processors have no fast fp16 arithmetic, and bf16 has the range that fp16 lacks",
            fix="trainer.precision=bf16, or a device with fp16",
        )
    return _PRECISIONS[precision]


def dtype_name(dtype: torch.dtype) -> str:
    """`bfloat16`, `float32`, ..."""
    return str(dtype).removeprefix("torch.")


@cache
def _processor_multiplies_bf16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether this processor has bf16 arithmetic; false where the system does not tell."""
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return False
    features = next((line for line in lines if line.lower().startswith(("flags", "features"))), "")
    return bool(_BF16_FEATURES & set(features.split()))


@contextmanager
def repeatable(*, threads: int, exact: bool) -> Iterator[None]:
    """Compute with `threads` threads and, when `exact`, with deterministic kernels only; put back afterwards."""
    threads_before = torch.get_num_threads()
    exact_before = torch.are_deterministic_algorithms_enabled()
    fill_before = _FILLING.fill_uninitialized_memory
    keep_freed_memory()
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(exact)
    _FILLING.fill_uninitialized_memory = False  # every element of ours is written before it is read
    try:
        yield
    finally:
        torch.set_num_threads(threads_before)
        torch.use_deterministic_algorithms(exact_before)
        _FILLING.fill_uninitialized_memory = fill_before


@cache
def keep_freed_memory() -> None:
    """Let glibc reuse large blocks instead of returning them to the system after each tensor's life.

    Without this each large activation is paged in anew: a 4096 x 256 x 4096 product in bf16 ran at 439 GFLOP/s
    without and 1,788 GFLOP/s with it (2 threads, Xeon with AMX). Elsewhere than on glibc it does nothing.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)


def return_freed_memory() -> None:
    """Hand what glibc holds without use back to the system, once; elsewhere than on glibc it does nothing."""
    if not sys.platform.startswith("linux"):
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)

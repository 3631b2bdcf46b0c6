"""Copies of what is saved, in main memory, so that a checkpoint can be written while training goes on.

Decisions: the copies lie in the same memory at every save, so that taking one costs no more than moving the bytes;
where they would not fit, there are none and saves hold the training up, which is told once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from codex_core.contracts import Emit
from codex_core.events import Warned
from codex_core.lock import Lock

Fits = Callable[[int], bool]

#: How much of the memory that is free at the start the copies may take.
_MOST = 0.5

#: Moments of an optimizer per parameter, at most.
_MOMENTS = 2


class HostCopies:
    """Copies of named tensors; `take` overwrites those of the time before."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, str], Tensor] = {}

    @torch.no_grad()
    def take(self, tensors: Mapping[str, Tensor], group: str) -> dict[str, Tensor]:
        """Copy the tensors of a group as they are now."""
        taken = {name: self._room_for((group, name), tensor) for name, tensor in tensors.items()}
        for name, tensor in tensors.items():
            taken[name].copy_(tensor, non_blocking=True)
        if any(tensor.device.type == "cuda" for tensor in tensors.values()):
            torch.cuda.synchronize()  # copies from a device may still be on their way
        return taken

    def _room_for(self, name: tuple[str, str], tensor: Tensor) -> Tensor:
        held = self._held.get(name)
        if held is None or (held.shape, held.dtype) != (tensor.shape, tensor.dtype):
            held = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=tensor.device.type == "cuda")
            self._held[name] = held
        return held


def copies_for(
    parameters: Iterable[Tensor], lock: Lock, *, has_average: bool, emit: Emit, fit: Fits | None = None
) -> HostCopies | None:
    """Room for the copies of a training, none when they are not wanted or would not fit, which is told."""
    if not lock.config.get("checkpoint", {}).get("asynchronous", False):
        return None
    num_bytes = staging_bytes(parameters, has_average=has_average)
    if not (fit or fits)(num_bytes):
        text = (
            f"a copy of what is saved takes {num_bytes:,} bytes, too many here: training waits for each save"
        )
        emit(Warned(code="TRN-011", text=text))
        return None
    return HostCopies()


def staging_bytes(parameters: Iterable[Tensor], *, has_average: bool) -> int:
    """Memory that the copies of trainable parameters, their moments and their running average take, at most."""
    return sum(tensor.nbytes for tensor in parameters) * (1 + _MOMENTS + int(has_average))


def fits(num_bytes: int, *, meminfo: Path = Path("/proc/meminfo")) -> bool:
    """Whether the copies leave enough of the free memory; true where the system does not tell."""
    free = free_bytes(meminfo)
    return free is None or num_bytes <= _MOST * free


def free_bytes(meminfo: Path = Path("/proc/meminfo")) -> int | None:
    """Main memory that can still be taken, None where the system does not tell."""
    try:
        lines = meminfo.read_text().splitlines()
    except OSError:
        return None
    found = next((line.split()[1] for line in lines if line.startswith("MemAvailable:")), None)
    return None if found is None else int(found) * 1024

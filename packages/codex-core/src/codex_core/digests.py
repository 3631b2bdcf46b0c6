"""What a trainer says of a step, so that another execution of it can be compared: loss, gradient norm, parameters.

Decisions: floats are written as `float.hex`, which keeps every bit; a tensor's digest is blake3 over its name, type,
shape and bytes; of all of them a step keeps one digest of full length and eight digits per tensor, which is enough
to name the tensors that differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import blake3

from codex_core.events import StepDigest

#: Digits of a tensor's digest that a step keeps.
SHORT = 8


def tensor_digest(name: str, dtype: str, shape: tuple[int, ...], data: Any) -> str:
    """The digest of a tensor (hex); `data` is its bytes, or anything that offers them as a buffer, hashed in place."""
    hasher = blake3.blake3(f"{name} {dtype} {tuple(shape)}\n".encode())
    hasher.update(data)
    return hasher.hexdigest()


def step_digest(
    *, step: int, loss: float | None, grad_norm: float | None, tensors: Mapping[str, str]
) -> StepDigest:
    """The event of a step; `tensors` are digests (hex) by name, of the parameters as the step left them."""
    whole = blake3.blake3()
    for name, digest in sorted(tensors.items()):
        whole.update(f"{name} {digest}\n".encode())
    return StepDigest(
        step=step,
        loss=None if loss is None else float(loss).hex(),
        grad_norm=None if grad_norm is None else float(grad_norm).hex(),
        parameters=f"blake3:{whole.hexdigest()}",
        tensors={name: digest[:SHORT] for name, digest in tensors.items()},
    )

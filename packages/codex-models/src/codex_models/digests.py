"""Digests of a step's numbers: loss, gradient norm, and every trainable tensor as the step left it.

Decision: tensors in main memory are hashed where they lie, without a copy; those of another device are fetched one
by one, so that no more than the largest of them is held twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from codex_core.digests import step_digest, tensor_digest
from codex_core.events import StepDigest


def digest_of_step(step: int, *, loss: float, grad_norm: float, tensors: Mapping[str, Tensor]) -> StepDigest:
    """The event for a step; `tensors` are the trainable ones by name."""
    digests = {
        name: tensor_digest(name, str(tensor.dtype), tuple(tensor.shape), _bytes_of(tensor))
        for name, tensor in tensors.items()
    }
    return step_digest(step=step, loss=loss, grad_norm=grad_norm, tensors=digests)


def _bytes_of(tensor: Tensor) -> Any:
    """The bytes of a tensor as a buffer; nothing is copied when they lie together in main memory."""
    return tensor.detach().to("cpu").contiguous().reshape(-1).view(torch.uint8).numpy()

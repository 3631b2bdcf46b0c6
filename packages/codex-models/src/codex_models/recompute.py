"""Forgetting activations in the forward pass and computing them again in the backward pass.

Decision: noise is drawn again from the state that its generator had, so gradients are those of the plain pass bit
by bit; the generator then goes on from where it was.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint


def recomputed(function: Callable[[Tensor], Tensor], x: Tensor, *, noise: torch.Generator | None) -> Tensor:
    """`function(x)`, of which only `x` is kept for the backward pass."""
    state_before = None if noise is None else noise.get_state()
    is_first_pass = True

    def run(x: Tensor) -> Tensor:
        nonlocal is_first_pass
        if is_first_pass or noise is None or state_before is None:
            is_first_pass = False
            return function(x)
        state_now = noise.get_state()
        noise.set_state(state_before)
        try:
            return function(x)
        finally:
            noise.set_state(state_now)

    result: Tensor = checkpoint(run, x, use_reentrant=False, preserve_rng_state=False)
    return result

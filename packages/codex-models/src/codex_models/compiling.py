"""Compiling the blocks of a model for the one shape of its training rows.

Decisions: blocks are compiled one by one, with fixed shapes and without autotuning, so that two runs compute with
the same kernels; only training runs through the compiled blocks, since evaluation and generation bring every shape
and would compile each; without a C++ compiler the option is refused, never ignored.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from codex_core.errors import CapabilityMissing, ConfigError

_COMPILERS = ("g++", "clang++", "c++")

#: Switches of torch's compiler under which the machine's mood decides on kernels.
_AUTOTUNING = ("max_autotune", "max_autotune_gemm", "max_autotune_pointwise", "coordinate_descent_tuning")


class CompiledBlocks:
    """The blocks of a model with what they were compiled to."""

    def __init__(self, blocks: Sequence[nn.Module]) -> None:
        self._compiled: list[tuple[Any, Callable[..., Any]]] = [
            (block, torch.compile(block.forward, dynamic=False)) for block in blocks
        ]

    @contextmanager
    def used(self) -> Iterator[None]:
        """Blocks run compiled inside, as they were written afterwards."""
        for block, compiled in self._compiled:
            block.forward = compiled
        try:
            yield
        finally:
            for block, _ in self._compiled:
                del block.forward


def compiled_blocks(model: Any, *, exactness: str, environ: Mapping[str, str] = os.environ) -> CompiledBlocks:
    """The blocks (`model.blocks`) ready to be compiled at their first use.

    Raises `CapabilityMissing` without a C++ compiler and where autotuning breaks the level of exactness,
    `ConfigError` for a model without blocks.
    """
    blocks = getattr(model, "blocks", None)
    if blocks is None:
        raise ConfigError(
            code="TRN-010",
            what="trainer.compile: the model names no blocks to compile",
            where="trainer.compile",
            why=f"{type(model).__name__} has no attribute `blocks`",
            fix="trainer.compile=off",
        )
    names = (environ["CXX"],) if environ.get("CXX") else _COMPILERS
    if not any(shutil.which(name, path=environ.get("PATH")) for name in names):
        raise CapabilityMissing(
            code="TRN-007",
            what="trainer.compile: there is no C++ compiler here",
            where="trainer.compile",
            why=f"compiling needs one of {', '.join(names)} while training",
            fix="install a compiler, or trainer.compile=off",
        )
    if exactness != "L0":
        _refuse_autotuning(exactness)
    return CompiledBlocks(list(blocks))


def _refuse_autotuning(exactness: str) -> None:
    from torch._inductor import config  # takes most of a second, and only who compiles needs it

    tuned = [name for name in _AUTOTUNING if getattr(config, name, False)]
    if tuned:
        raise CapabilityMissing(
            code="TRN-009",
            what=f"exactness {exactness} cannot be held here",
            where="trainer.compile",
            why=f"torch is set to choose kernels by timing them ({', '.join(tuned)}), which differs from run to run",
            fix="unset TORCHINDUCTOR_MAX_AUTOTUNE and its like, or run.exactness=L0",
        )

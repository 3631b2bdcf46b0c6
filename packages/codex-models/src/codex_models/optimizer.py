"""AdamW over named parameters, and its state as named tensors.

Decisions: weight decay on matrices only (gains and other vectors are left alone); one fused update; state is
saved by parameter name, never by position.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from codex_models.options import TorchTrainerOptions
from codex_models.state import read_tensors, require_same_shapes

_MOMENTS = ("exp_avg", "exp_avg_sq")


class NamedAdamW:
    """Fused AdamW whose state has names."""

    def __init__(self, model: nn.Module, options: TorchTrainerOptions) -> None:
        self.parameters = dict(model.named_parameters())
        matrices = [parameter for parameter in self.parameters.values() if parameter.dim() > 1]
        vectors = [parameter for parameter in self.parameters.values() if parameter.dim() <= 1]
        self._adamw = torch.optim.AdamW(
            [
                {"params": matrices, "weight_decay": options.weight_decay},
                {"params": vectors, "weight_decay": 0.0},
            ],
            lr=options.lr,
            betas=(options.beta1, options.beta2),
            eps=options.eps,
            fused=True,
        )

    def step(self, lr: float) -> None:
        """Apply the gradients with learning rate `lr` and forget them."""
        for group in self._adamw.param_groups:
            group["lr"] = lr
        self._adamw.step()
        self._adamw.zero_grad(set_to_none=True)

    def discard_gradients(self) -> None:
        """Forget the gradients without applying them."""
        self._adamw.zero_grad(set_to_none=True)

    def clip(self, limit: float | None) -> float:
        """Norm of all gradients before clipping; they are scaled to at most `limit` when it is finite."""
        gradients = [parameter.grad for parameter in self.parameters.values() if parameter.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        if limit is not None:
            torch.nn.utils.clip_grads_with_norm_(self.parameters.values(), limit, norm)
        return float(norm)

    def tensors(self) -> dict[str, Tensor]:
        """Moments and step counts by name; empty before the first step."""
        return {
            f"{kind}.{name}": self._adamw.state[parameter][kind]
            for name, parameter in self.parameters.items()
            for kind in (*_MOMENTS, "step")
            if parameter in self._adamw.state
        }

    def load(self, path: Path) -> None:
        """Continue from a file of `tensors()`; raises `ArtefactError` when it belongs to another model."""
        found = read_tensors(path)
        require_same_shapes(path, found, self._expected())
        for name, parameter in self.parameters.items():
            held = {kind: found[f"{kind}.{name}"].to(parameter.device) for kind in _MOMENTS}
            self._adamw.state[parameter] = {"step": found[f"step.{name}"].to(parameter.device), **held}

    def _expected(self) -> Mapping[str, Tensor]:
        moments = {
            f"{kind}.{name}": parameter.detach()
            for name, parameter in self.parameters.items()
            for kind in _MOMENTS
        }
        return moments | {f"step.{name}": torch.zeros(()) for name in self.parameters}

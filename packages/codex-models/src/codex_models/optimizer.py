"""The optimizer over named parameters, and its state as named tensors.

Decisions: AdamW for everything, or Muon for the matrices inside blocks and AdamW for the rest; weight decay on
matrices only (gains and other vectors are left alone); one fused AdamW update; state is saved by parameter name,
never by position.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from codex_models.modules import TrainableModule
from codex_models.muon import Muon
from codex_models.state import read_tensors, require_same_shapes
from codex_models.trainer_options import TorchTrainerOptions

_MOMENTS = ("exp_avg", "exp_avg_sq")


class NamedOptimizer:
    """AdamW, with Muon beside it where the options say so."""

    def __init__(self, model: TrainableModule, options: TorchTrainerOptions) -> None:
        self.parameters = model.trainable()
        parts = model.hidden_matrices() if options.optimizer == "muon" else {}
        self._muon_ratio = options.muon_lr / options.lr if options.lr else 0.0
        self._muon = Muon(
            {name: self.parameters[name] for name in parts},
            parts=parts,
            momentum=options.muon_momentum,
            weight_decay=options.weight_decay,
            dtype=model.compute_dtype,
        )
        self._others = {name: value for name, value in self.parameters.items() if name not in parts}
        others = list(self._others.values())
        self._adamw = torch.optim.AdamW(
            [
                {"params": [p for p in others if p.dim() > 1], "weight_decay": options.weight_decay},
                {"params": [p for p in others if p.dim() <= 1], "weight_decay": 0.0},
            ],
            lr=options.lr,
            betas=(options.beta1, options.beta2),
            eps=options.eps,
            fused=True,
        )
        # As AdamW itself would begin them in its first step: what lasts is taken before what comes and goes.
        for parameter in others:
            self._adamw.state[parameter] = {
                "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
                "exp_avg": torch.zeros_like(parameter, requires_grad=False),
                "exp_avg_sq": torch.zeros_like(parameter, requires_grad=False),
            }

    def step(self, lr: float) -> None:
        """Apply the gradients with learning rate `lr` (Muon's in its own proportion) and forget them."""
        for group in self._adamw.param_groups:
            group["lr"] = lr
        self._muon.step(lr * self._muon_ratio)
        self._adamw.step()
        self.discard_gradients()

    def discard_gradients(self) -> None:
        """Forget the gradients without applying them."""
        for parameter in self.parameters.values():
            parameter.grad = None

    @torch.no_grad()
    def scale_gradients(self, factor: float) -> None:
        """Multiply all gradients."""
        torch._foreach_mul_([p.grad for p in self.parameters.values() if p.grad is not None], factor)

    def clip(self, limit: float | None) -> Tensor:
        """Norm of all gradients before clipping; they are scaled to at most `limit` when one is given."""
        gradients = [parameter.grad for parameter in self.parameters.values() if parameter.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        if limit is not None:
            torch.nn.utils.clip_grads_with_norm_(self.parameters.values(), limit, norm)
        return norm

    def tensors(self) -> dict[str, Tensor]:
        """Moments, momentum and step counts by name."""
        state = self._adamw.state
        return self._muon.tensors() | {
            f"{kind}.{name}": state[parameter][kind]
            for name, parameter in self._others.items()
            for kind in (*_MOMENTS, "step")
        }

    def load(self, path: Path) -> None:
        """Continue from a file of `tensors()`; raises `ArtefactError` when it belongs to another model."""
        found = read_tensors(path)
        require_same_shapes(path, found, self._expected())
        self._muon.load(found)
        for name, parameter in self._others.items():
            held = {kind: found[f"{kind}.{name}"].to(parameter.device) for kind in (*_MOMENTS, "step")}
            self._adamw.state[parameter] = held

    def _expected(self) -> Mapping[str, Tensor]:
        moments = {
            f"{kind}.{name}": value.detach() for name, value in self._others.items() for kind in _MOMENTS
        }
        return self._muon.tensors() | moments | {f"step.{name}": torch.zeros(()) for name in self._others}

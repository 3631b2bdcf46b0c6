"""Muon: momentum whose update of a matrix is replaced by the nearest matrix with equal singular values.

For the matrices inside blocks only; embeddings, output matrix and gains stay with AdamW. At equal numbers of tokens
it reaches a lower loss than AdamW on the small corpora that Codex is shown with; `docs/explanation/models.md` has
the measurement.

Decisions: five Newton-Schulz steps with the coefficients of the published method (Jordan et al., 2024), in the
arithmetic of the run; matrices that are stored stacked (queries, keys and values; gate and up) are treated one by
one; updates are scaled to the root mean square that AdamW's have, 0.2 times the learning rate per entry.

Shapes: S stacked matrices, E rows, D columns.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_STEPS = 5
_UPDATE_RMS = 0.2


class Muon:
    """Muon over named matrices; `parts` says how many matrices each of them holds, stacked by rows."""

    def __init__(
        self,
        matrices: Mapping[str, nn.Parameter],
        *,
        parts: Mapping[str, int],
        momentum: float,
        weight_decay: float,
        dtype: torch.dtype,
    ) -> None:
        self.matrices = dict(matrices)
        self.parts = parts
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.dtype = dtype
        self.averages = {name: torch.zeros_like(matrix) for name, matrix in self.matrices.items()}
        self.groups: dict[tuple[int, ...], list[str]] = {}
        for name in self.matrices:
            self.groups.setdefault(self._wide(name, self.averages[name]).shape[1:], []).append(name)

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """Apply the gradients with learning rate `lr`; matrices of one shape go through the iteration together."""
        for (_, width), names in self.groups.items():
            ahead = torch.cat([self._wide(name, self._ahead(name)).to(self.dtype) for name in names])
            updates = orthogonalised(ahead).split([self.parts[name] for name in names])
            for name, update in zip(names, updates, strict=True):
                matrix = self.matrices[name]
                matrix.mul_(1.0 - lr * self.weight_decay)
                self._wide(name, matrix).add_(update, alpha=-lr * _UPDATE_RMS * width**0.5)

    def tensors(self) -> dict[str, Tensor]:
        """Momentum by name."""
        return {f"momentum.{name}": average for name, average in self.averages.items()}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Continue from what `tensors` gave."""
        for name, average in self.averages.items():
            average.copy_(tensors[f"momentum.{name}"])

    def _ahead(self, name: str) -> Tensor:
        """The gradient, and Nesterov's look ahead along its running average."""
        gradient = self.matrices[name].grad
        assert gradient is not None, f"{name} took no part in the loss"
        average = self.averages[name].lerp_(gradient, 1.0 - self.momentum)
        return gradient.lerp(average, self.momentum)

    def _wide(self, name: str, matrix: Tensor) -> Tensor:
        """The matrices stacked in `matrix`, each with at least as many columns as rows: a view (S, E, D)."""
        stack_SED = matrix.view(self.parts[name], -1, matrix.shape[-1])
        return stack_SED.transpose(1, 2) if stack_SED.shape[1] > stack_SED.shape[2] else stack_SED


def orthogonalised(wide_SED: Tensor) -> Tensor:
    """Each matrix (E at most D) with its singular values moved to about one, its singular vectors kept."""
    a, b, c = _COEFFICIENTS
    x = wide_SED / (wide_SED.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(_STEPS):
        gram = torch.bmm(x, x.transpose(1, 2))
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x

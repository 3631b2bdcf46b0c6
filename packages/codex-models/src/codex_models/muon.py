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

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """Apply the gradients with learning rate `lr`."""
        for name, matrix in self.matrices.items():
            assert matrix.grad is not None, f"{name} took no part in the loss"
            average = self.averages[name].lerp_(matrix.grad, 1.0 - self.momentum)
            ahead = matrix.grad.lerp(average, self.momentum)
            stack_SED = ahead.view(self.parts[name], -1, ahead.shape[-1])
            update = orthogonalised(stack_SED.to(self.dtype)).reshape(matrix.shape).to(matrix.dtype)
            scale = _UPDATE_RMS * max(stack_SED.shape[1:]) ** 0.5
            matrix.mul_(1.0 - lr * self.weight_decay).add_(update, alpha=-lr * scale)

    def tensors(self) -> dict[str, Tensor]:
        """Momentum by name."""
        return {f"momentum.{name}": average for name, average in self.averages.items()}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Continue from what `tensors` gave."""
        for name, average in self.averages.items():
            average.copy_(tensors[f"momentum.{name}"])


def orthogonalised(stack_SED: Tensor) -> Tensor:
    """Each matrix with its singular values moved to about one (0.7 to 1.2), its singular vectors kept."""
    a, b, c = _COEFFICIENTS
    is_tall = stack_SED.shape[1] > stack_SED.shape[2]
    x = stack_SED.transpose(1, 2) if is_tall else stack_SED
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(_STEPS):
        gram = x @ x.transpose(1, 2)
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.transpose(1, 2) if is_tall else x

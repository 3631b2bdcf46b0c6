"""What the trainer, checkpoints, adapters and generation know of a torch model, nothing else.

Decisions: a model says itself which tensors are trained, which files hold them and how they are read back, so a
full model, an adapter over a frozen base and a model of another library are trained and saved by the same lines;
what generation needs beyond that (keys and values that are kept) is a second, wider protocol.

Shapes: R or B rows, L or T tokens, D width, V vocabulary, S places of the cache.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from codex_core.contracts import LanguageModel, WriteFile
from codex_models.cache import LayerCache


class OutputMatrix(Protocol):
    """The last layer: `weight` is (V, D)."""

    @property
    def weight(self) -> Tensor:
        """(V, D)."""

    def __call__(self, hidden: Tensor, /) -> Tensor:
        """Logits (..., V) of activations (..., D)."""


@runtime_checkable
class TrainableModule(Protocol):
    """A torch module that the trainer can train and save.

    `context_length` may be None until the trainer sets it to the length of its rows; `compute_dtype` is the dtype
    of activations and may be set, too; with `checkpoint_blocks` training keeps only what enters each block and
    computes the rest again in the backward pass, with equal gradients. `training`, `train`, `parameters` and `to`
    are those of `torch.nn.Module`.
    """

    context_length: int | None
    compute_dtype: torch.dtype
    checkpoint_blocks: bool
    training: bool

    @property
    def vocab_size(self) -> int:
        """Number of token ids."""

    @property
    def head(self) -> OutputMatrix:
        """The output matrix, which the loss multiplies with itself."""

    def hidden(self, ids: Tensor, positions: Tensor, document_ids: Tensor, /) -> Tensor:
        """Activations (R, L, D) before `head`; a token sees itself and earlier tokens of its own document."""

    def set_noise(self, generator: torch.Generator | None) -> None:
        """Draw whatever is random in training from `generator` from now on."""

    def trainable(self) -> dict[str, nn.Parameter]:
        """Parameters that require gradients, by name, tied ones once."""

    def hidden_matrices(self) -> dict[str, int]:
        """Names of trainable matrices inside blocks, and how many matrices each holds, stacked by rows."""

    def payload(self, tensors: Mapping[str, Tensor]) -> dict[str, WriteFile]:
        """The files of a checkpoint's `model/` folder, written from `tensors` (copies of `trainable()`)."""

    def restore(self, folder: Path) -> None:
        """Read the files of `payload` back into the parameters; raises `ArtefactError` when they do not fit."""

    def language_model(self) -> LanguageModel:
        """A live view for scoring and generation: it computes with the parameters as they are at each call."""

    def train(self, mode: bool = True, /) -> Any:
        """Training mode, or evaluation mode."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """All parameters, frozen ones too."""

    def to(self, device: torch.device, /) -> Any:
        """Move all parameters."""


class CachingModule(TrainableModule, Protocol):
    """A trainable module that can read on from keys and values it was given before."""

    def caches(self, num_rows: int, num_places: int) -> list[LayerCache]:
        """Empty room for the keys and values of `num_rows` rows of up to `num_places` tokens, per layer."""

    def hidden(
        self,
        ids: Tensor,
        positions: Tensor,
        document_ids: Tensor,
        /,
        *,
        caches: Sequence[LayerCache] | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """As above; with `caches` the additive `mask` (B, 1, T, S) says what is seen, instead of documents."""

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """All parameters by name."""

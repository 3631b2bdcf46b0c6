"""What only the torch trainer has to tell."""

from __future__ import annotations

from typing import ClassVar

import attrs

from codex_core.events import Event


@attrs.frozen(kw_only=True)
class TrainingPrepared(Event):
    """The trainer is ready: what it will compute with. `dtype` is that of activations; weights are float32."""

    kind: ClassVar[str] = "training_prepared"
    step: int
    device: str
    dtype: str
    threads: int
    exactness: str
    num_parameters: int
    micro_batches: int
    torch_version: str

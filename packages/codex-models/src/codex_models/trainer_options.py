"""Options of the torch trainer; importing this module loads no torch.

Decisions: what can be derived has `None` as default and a property that derives it; the number of training rows
that fit into memory at once (`micro_batch_rows`) changes speed and memory, never the loss that is minimised.
"""

from __future__ import annotations

import attrs

from codex_core.duration import Duration
from codex_core.options import option


@attrs.frozen(kw_only=True)
class TorchTrainerOptions:
    """How to train a torch model."""

    duration: Duration = option(Duration(1000), doc="how long to train")
    batch_rows: int = option(16, doc="rows per optimizer step", unit="rows", minimum=1)
    micro_batch_rows: int | None = option(
        None,
        doc="rows held in memory at once, a divisor of batch_rows; batch_rows by default",
        unit="rows",
        minimum=1,
    )
    optimizer: str = option(
        "adamw",
        doc="what turns gradients into updates; muon takes the matrices inside blocks and leaves the rest to AdamW",
        choices=("adamw", "muon"),
    )
    lr: float = option(1e-3, doc="peak learning rate of AdamW", minimum=0.0)
    muon_lr: float = option(
        1e-2, doc="peak learning rate of Muon", minimum=0.0, only_with=("optimizer", ("muon",))
    )
    muon_momentum: float = option(
        0.95, doc="decay of Muon's momentum", minimum=0.0, maximum=1.0, only_with=("optimizer", ("muon",))
    )
    warmup: Duration = option(Duration(50), doc="linear rise of the learning rate from zero to its peak")
    min_lr_ratio: float = option(
        0.1, doc="learning rate of the last step over its peak", minimum=0.0, maximum=1.0
    )
    weight_decay: float = option(0.1, doc="decoupled weight decay, on matrices only", minimum=0.0)
    beta1: float = option(0.9, doc="decay of AdamW's first moment", minimum=0.0, maximum=1.0)
    beta2: float = option(0.95, doc="decay of AdamW's second moment", minimum=0.0, maximum=1.0)
    eps: float = option(1e-8, doc="added to AdamW's denominator", minimum=0.0)
    clip: float | None = option(1.0, doc="largest norm of the gradient; null does not clip", minimum=0.0)
    precision: str = option(
        "auto",
        doc="arithmetic of the forward and backward pass; weights and moments stay fp32; "
        "auto is bf16 where the processor computes it natively, else fp32",
        choices=("auto", "bf16", "fp32"),
    )
    device: str = option("cpu", doc="where to train", choices=("cpu", "cuda"))

    def __attrs_post_init__(self) -> None:
        if self.micro_batch_rows is not None and self.batch_rows % self.micro_batch_rows:
            raise ValueError(
                f"micro_batch_rows must divide batch_rows; got {self.micro_batch_rows} and {self.batch_rows}"
            )

    @property
    def rows_at_once(self) -> int:
        """Rows of one micro-batch, given or derived."""
        return self.micro_batch_rows or self.batch_rows

"""Options of the torch trainer; importing this module loads no torch.

Decisions: what can be derived has `None` as default and a property that derives it; the number of training rows
that fit into memory at once (`micro_batch_rows`) changes speed and memory, never the loss that is minimised; what
is trained on (every token, completions only) is said by the data and has no option here.
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
    schedule: str = option(
        "cosine",
        doc="the learning rate after the warm-up: half a cosine, a line, a plateau with a line at its end (wsd), "
        "or the peak throughout",
        choices=("cosine", "linear", "wsd", "constant"),
    )
    min_lr_ratio: float = option(
        0.1,
        doc="learning rate of the last step over its peak",
        minimum=0.0,
        maximum=1.0,
        only_with=("schedule", ("cosine", "linear", "wsd")),
    )
    decay_share: float = option(
        0.2,
        doc="share of the training over which the learning rate falls at the end",
        minimum=0.0,
        maximum=1.0,
        only_with=("schedule", ("wsd",)),
    )
    weight_decay: float = option(0.1, doc="decoupled weight decay, on matrices only", minimum=0.0)
    beta1: float = option(0.9, doc="decay of AdamW's first moment", minimum=0.0, maximum=1.0)
    beta2: float = option(0.95, doc="decay of AdamW's second moment", minimum=0.0, maximum=1.0)
    eps: float = option(1e-8, doc="added to AdamW's denominator", minimum=0.0)
    clip: float | None = option(1.0, doc="largest norm of the gradient; null does not clip", minimum=0.0)
    precision: str = option(
        "auto",
        doc="arithmetic of the forward and backward pass; weights and moments stay fp32; "
        "auto is bf16 where the processor computes it natively, else fp32; fp16 needs an accelerator",
        choices=("auto", "bf16", "fp16", "fp32"),
    )
    device: str = option("cpu", doc="where to train", choices=("cpu", "cuda"))
    compile: str = option(
        "off",
        doc="compile the model's blocks for the one shape of the rows; needs a C++ compiler where it runs",
        choices=("off", "on"),
    )
    activation_checkpointing: str = option(
        "none",
        doc="what is kept for the backward pass: everything (none), or what enters each block, the rest being "
        "computed once more (blocks); gradients are equal",
        choices=("none", "blocks"),
    )
    ema: float | None = option(
        None,
        doc="decay per step of a running average of the weights; with one, evaluation and the model of a "
        "checkpoint are the average",
        minimum=0.0,
        maximum=0.999999,
    )
    on_nonfinite: str = option(
        "stop",
        doc="when a loss or gradient is not finite, no update is applied; then: end the run, go on with the next "
        "step, or go back to the newest checkpoint and leave the documents of these rows out",
        choices=("stop", "skip", "rollback"),
        resumable=True,
    )
    max_nonfinite: int = option(
        10,
        doc="steps that may be skipped in all before the run ends",
        unit="steps",
        minimum=1,
        resumable=True,
        only_with=("on_nonfinite", ("skip",)),
    )
    on_oom: str = option(
        "stop",
        doc="when the gradients of a step do not fit into memory: end the run, or compute the step again with half "
        "the rows at once and go on so; retry needs run.exactness: L0, since sums are rounded differently",
        choices=("stop", "retry"),
        resumable=True,
    )
    patience: int | None = option(
        None,
        doc="evaluations without an improvement after which training ends; by default it does not",
        unit="evaluations",
        minimum=1,
        resumable=True,
    )
    patience_metric: str | None = option(
        None, doc="the metric that has to improve; by default the first of evaluation.metrics", resumable=True
    )
    patience_mode: str = option(
        "min", doc="which way the metric improves", choices=("min", "max"), resumable=True
    )
    min_delta: float = option(
        0.0, doc="how much better than the best a value must be to count", minimum=0.0, resumable=True
    )

    def __attrs_post_init__(self) -> None:
        if self.patience is None:
            names = ("patience_metric", "patience_mode", "min_delta")
            fields = {field.name: field.default for field in attrs.fields(type(self))}
            idle = [name for name in names if getattr(self, name) != fields[name]]
            if idle:
                raise ValueError(f"{' and '.join(idle)} count only with patience; set patience, too")
        if self.micro_batch_rows is not None and self.batch_rows % self.micro_batch_rows:
            raise ValueError(
                f"micro_batch_rows must divide batch_rows; got {self.micro_batch_rows} and {self.batch_rows}"
            )

    @property
    def rows_at_once(self) -> int:
        """Rows of one micro-batch, given or derived."""
        return self.micro_batch_rows or self.batch_rows

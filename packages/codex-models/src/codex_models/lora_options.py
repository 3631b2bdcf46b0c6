"""Options of low-rank adaptation (LoRA), for every model that takes it; importing this module loads no torch.

Decisions: names and meanings are peft's, so that an adapter of ours and one of peft's have the same settings; what
cannot be meant (a rank of nothing, two equal targets) is refused when the options are built, long before any weight
is read; a model that knows its matrices refuses targets that it does not have, also there.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import attrs

from codex_core.options import option

#: Every matrix inside blocks; embeddings and the output matrix stay out.
ALL_LINEAR = "all-linear"


@attrs.frozen(kw_only=True)
class LoraOptions:
    """Train two small matrices beside each targeted one; everything else stays as it is."""

    r: int = option(8, doc="rank of the update, the inner width of its two matrices", minimum=1)
    alpha: float = option(
        16.0,
        doc="weight of the update; it is multiplied with alpha / r, or alpha / sqrt(r) with rslora",
        minimum=0.0,
    )
    dropout: float = option(
        0.0, doc="dropout on what enters the update, in 256ths on the decoder", minimum=0.0, maximum=0.9
    )
    bias: str = option(
        "none",
        doc="which biases of the model are trained too: none, all, or those beside an update",
        choices=("none", "all", "lora_only"),
    )
    targets: str | tuple[str, ...] = option(
        ALL_LINEAR, doc="which matrices get an update: names such as [q_proj, v_proj], or all-linear"
    )
    rslora: bool = option(
        False, doc="scale by alpha / sqrt(r), which keeps updates of large ranks from fading"
    )
    task_type: str = option("CAUSAL_LM", doc="what the adapter's file says it is for", choices=("CAUSAL_LM",))

    def __attrs_post_init__(self) -> None:
        if isinstance(self.targets, str):
            if self.targets != ALL_LINEAR:
                raise ValueError(f"targets must be {ALL_LINEAR} or a list of names; got {self.targets!r}")
        elif not self.targets or len(set(self.targets)) < len(self.targets):
            raise ValueError(f"targets must name matrices, each once; got {list(self.targets)}")

    @classmethod
    def from_plain(cls, values: Mapping[str, Any]) -> LoraOptions:
        """The options from plain values as JSON holds them; raises `TypeError` or `ValueError` for others."""
        targets = values.get("targets", ALL_LINEAR)
        return cls(**{**values, "targets": tuple(targets) if isinstance(targets, list) else targets})

    @property
    def scale(self) -> float:
        """What the update is multiplied with."""
        return self.alpha / (self.r**0.5 if self.rslora else self.r)

    def targets_among(self, names: Collection[str]) -> tuple[str, ...]:
        """Those of a model's matrices `names` that get an update, in the model's order.

        Raises `ValueError` for a target that the model does not have.

        >>> LoraOptions(targets=("v_proj", "q_proj")).targets_among(["q_proj", "k_proj", "v_proj"])
        ('q_proj', 'v_proj')
        """
        if isinstance(self.targets, str):
            return tuple(names)
        unknown = sorted(set(self.targets) - set(names))
        if unknown:
            raise ValueError(
                f"lora.targets names {', '.join(map(repr, unknown))}; this model has {', '.join(names)}"
            )
        return tuple(name for name in names if name in self.targets)

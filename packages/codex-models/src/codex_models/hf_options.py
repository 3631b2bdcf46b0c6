"""Options of `hf-causal`; importing this module loads neither torch nor transformers."""

from __future__ import annotations

import attrs

from codex_core.options import option
from codex_models.lora_options import LoraOptions


@attrs.frozen(kw_only=True)
class HfCausalOptions:
    """A causal language model in a local Hugging Face directory, computed by transformers."""

    weights: str = option(
        doc="the directory: config.json and safetensors; nothing is downloaded and no code of it is run",
        unit="path",
    )
    context_length: int | None = option(
        None,
        doc="longest row in tokens; as config.json says by default, and never more than that",
        unit="tokens",
        minimum=1,
    )
    dtype: str = option(
        "float32",
        doc="type of the parameters in training; auto keeps that of the directory",
        choices=("float32", "bfloat16", "auto"),
    )
    lora: LoraOptions | None = option(
        None, doc="train a low-rank adapter over the frozen weights, instead of the weights; through peft"
    )

    @property
    def needs(self) -> tuple[str, ...]:
        """What these options take beyond transformers."""
        return ("peft",) if self.lora is not None else ()

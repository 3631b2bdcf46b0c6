"""The model `hf-causal` as configurations and checkpoints name it: a model of transformers, or one with an adapter.

Decision: whether there is an adapter is told by the options when a model is built, and by the files when one is
opened, as for the decoder.
"""

from __future__ import annotations

from pathlib import Path

from codex_core.errors import UsageError
from codex_models.hf_adapted import HfAdapted, open_hf_adapter
from codex_models.hf_causal import HfCausal
from codex_models.hf_options import HfCausalOptions
from codex_models.live import TorchLanguageModel
from codex_models.lora_files import is_adapter


class HfModel:
    """See `codex_core.contracts.ModelClass`."""

    @classmethod
    def build(cls, options: HfCausalOptions, *, vocab_size: int, seed: int) -> HfCausal:
        """What the torch trainer trains; equal arguments give equal parameters."""
        built = HfCausal if options.lora is None else HfAdapted
        return built.build(options, vocab_size=vocab_size, seed=seed)

    @classmethod
    def open(
        cls, path: Path, *, device: str = "cpu", dtype: str | None = None, base: Path | None = None
    ) -> TorchLanguageModel:
        """Open a checkpoint's `model/` folder for scoring and generation; `base` is where an adapter's base is."""
        if is_adapter(path):
            return open_hf_adapter(path, device=device, dtype=dtype, base=base).language_model()
        if base is not None:
            raise UsageError(
                code="MOD-035",
                what="--base was given, and the model is no adapter over a base",
                where=str(path),
                fix="leave --base out",
            )
        return HfCausal.open(path, device=device, dtype=dtype)

"""The model `decoder` as configurations and checkpoints name it: the decoder itself, or one with an adapter.

Decision: whether there is an adapter is told by the options when a model is built, and by the files when one is
opened; what is opened is a plain decoder in either case, an adapter having been merged into its base.
"""

from __future__ import annotations

from pathlib import Path

from codex_core.errors import UsageError
from codex_models.decoder import Decoder
from codex_models.live import TorchLanguageModel
from codex_models.lora import AdaptedDecoder, open_merged
from codex_models.lora_files import is_adapter
from codex_models.options import DecoderOptions


class DecoderModel:
    """See `codex_core.contracts.Model`."""

    @classmethod
    def build(cls, options: DecoderOptions, *, vocab_size: int, seed: int) -> Decoder | AdaptedDecoder:
        """What the torch trainer trains; equal arguments give equal parameters."""
        built = Decoder if options.lora is None else AdaptedDecoder
        return built.build(options, vocab_size=vocab_size, seed=seed)

    @classmethod
    def open(
        cls, path: Path, *, device: str = "cpu", dtype: str | None = None, base: Path | None = None
    ) -> TorchLanguageModel:
        """Open a checkpoint's `model/` folder for scoring and generation; `base` is where an adapter's base is.

        Raises `UsageError` for a base that nothing needs, and what opening raises.
        """
        if is_adapter(path):
            return open_merged(path, device=device, dtype=dtype, base=base)
        if base is not None:
            raise UsageError(
                code="MOD-035",
                what="--base was given, and the model is no adapter over a base",
                where=str(path),
                fix="leave --base out",
            )
        return Decoder.open(path, device=device, dtype=dtype)

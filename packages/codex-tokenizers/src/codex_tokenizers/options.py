"""Options of the tokenizers."""

from __future__ import annotations

import attrs

from codex_core import option

#: What a vocabulary holds before anything is learned: 256 bytes and three special tokens.
SMALLEST_VOCABULARY = 259


@attrs.frozen(kw_only=True)
class BPEOptions:
    """Options of the tokenizer `bpe`."""

    vocab_size: int = option(
        4096,
        doc="ids to learn, the 256 bytes and three special tokens included; little text may give fewer",
        unit="tokens",
        minimum=SMALLEST_VOCABULARY,
        maximum=4_000_000,
        only_with=("path", (None,)),
    )
    min_frequency: int = option(
        2, doc="how often a pair must occur to become a token", minimum=1, only_with=("path", (None,))
    )
    path: str | None = option(
        None,
        doc="folder of a saved tokenizer to use as it is, instead of learning one from the text",
        unit="path",
    )

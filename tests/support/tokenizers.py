"""One small tokenizer of every kind of ours, with and without a chat template."""

from __future__ import annotations

import importlib.util
import pydoc_data.topics
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
from hypothesis import strategies as st

from codex_core.data.bytes_tokenizer import BytesTokenizer

#: Pages of the language reference, enough to learn from.
TEXTS = [pydoc_data.topics.topics[name] for name in sorted(pydoc_data.topics.topics)[:12]]

LOOK_ALIKES = (
    "<|codex:bos|>",
    "<|codex:eos|>",
    "<|codex:pad|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|endoftext|>",
)

#: Texts with everything that tokenizers are known to lose: signs, blanks, combining marks, look-alikes.
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"])) | st.lists(
    st.sampled_from(
        [
            "é",
            "e\u0301",
            "🚀",
            "👩‍🚀",
            "\u200b",
            "  ",
            "\n\t ",
            "\r\n",
            "don't",
            "12345",
            "\u2581",
            "x",
            *LOOK_ALIKES,
        ]
    )
).map("".join)

KINDS = ("bytes", "bpe", "sentencepiece", "hf", "whitespace")
TEMPLATED = ("bpe", "sentencepiece", "hf", "whitespace")

#: For a model's folder, whose only special token closes turns.
TURNS = (
    "{% for m in messages %}[{{ m['role'] }}]\n{{ m['content'] }}{{ eos_token }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant]\n{% endif %}"
)


def of_kind(kind: str, template: str | None = None) -> Any:
    """A tokenizer of a kind, learned once per process; libraries that are not there are a reason to skip."""
    if kind == "sentencepiece" and importlib.util.find_spec("sentencepiece") is None:
        pytest.importorskip("sentencepiece")
    return _made(kind, template)


@cache
def _made(kind: str, template: str | None) -> Any:
    if kind == "bytes":
        return BytesTokenizer()
    from codex_tokenizers import examples, options

    if kind == "hf":
        from codex_tokenizers.hf import HF

        folder = Path(mkdtemp(prefix="codex-model-"))
        examples.write_model_folder(folder, template=TURNS)
        return HF.take(options.HFOptions(path=str(folder), template=None if template is None else "own"))
    if kind == "bpe":
        from codex_tokenizers.bpe import BPE

        return BPE.train(TEXTS, options.BPEOptions(vocab_size=600, template=template), seed=0)
    if kind == "whitespace":
        from codex_tokenizers.whitespace import Whitespace

        return Whitespace.train(TEXTS, options.WhitespaceOptions(vocab_size=600, template=template), seed=0)
    from codex_tokenizers.sentencepieces import SentencePiece

    return SentencePiece.train(TEXTS, options.SentencePieceOptions(vocab_size=600, template=template), seed=0)

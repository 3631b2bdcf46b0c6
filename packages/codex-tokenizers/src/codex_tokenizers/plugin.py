"""Offers the tokenizers of this distribution, and the commands around them."""

from __future__ import annotations

from codex_core import Component, hookimpl

CODEX_API = (1, 0)
CODEX_EXAMPLES = "codex_tokenizers.examples:examples"


@hookimpl
def codex_tokenizers() -> list[Component]:
    return [
        Component(
            "bpe",
            target="codex_tokenizers.bpe:BPE",
            options="codex_tokenizers.options:BPEOptions",
            summary="Byte-level BPE: lossless, learned from the training split, the same for any thread count",
            requires=("tokenizers",),
            capabilities=("lossless", "offsets"),
        ),
        Component(
            "sentencepiece",
            target="codex_tokenizers.sentencepieces:SentencePiece",
            options="codex_tokenizers.options:SentencePieceOptions",
            summary="SentencePiece, unigram or BPE, with bytes for what has no piece: lossless unless a normaliser "
            "is asked for",
            requires=("sentencepiece",),
            capabilities=("lossless", "offsets"),
        ),
        Component(
            "hf",
            target="codex_tokenizers.hf:HF",
            options="codex_tokenizers.options:HFOptions",
            summary="The tokenizer of a model's folder (tokenizer.json), with its special tokens and chat template",
            requires=("tokenizers",),
            capabilities=("offsets",),
        ),
        Component(
            "whitespace",
            target="codex_tokenizers.whitespace:Whitespace",
            options="codex_tokenizers.options:WhitespaceOptions",
            summary="Words between white space from a frozen vocabulary; not lossless",
            capabilities=("offsets",),
        ),
    ]


@hookimpl
def codex_commands() -> list[Component]:
    return [
        Component(
            "tokenizer",
            target="codex_tokenizers.cli:tokenizer",
            summary="Learn, use and check tokenizers outside a run",
        )
    ]

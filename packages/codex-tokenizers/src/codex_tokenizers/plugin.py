"""Offers the tokenizers of this distribution."""

from __future__ import annotations

from codex_core import Component, hookimpl

CODEX_API = (1, 0)


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
        )
    ]

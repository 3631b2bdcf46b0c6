"""What the data room offers: three datasets and the tokenizer that needs no training."""

from __future__ import annotations

from codex_core.components import Component
from codex_core.hookspecs import hookimpl

CODEX_API = (1, 0)
CODEX_EXAMPLES = "codex_core.data.examples:examples"


@hookimpl
def codex_datasets() -> list[Component]:
    """Datasets that read this machine's files."""
    return [
        Component(
            "pydoc",
            target="codex_core.data.pydoc:PydocDataset",
            options="codex_core.data.options:PydocOptions",
            summary="English and code that ship with Python: language reference, docstrings, sources on request",
        ),
        Component(
            "text",
            target="codex_core.data.text:TextDataset",
            options="codex_core.data.options:TextOptions",
            summary="UTF-8 text files, one document per file or per paragraph",
        ),
        Component(
            "jsonl",
            target="codex_core.data.jsonl:JsonlDataset",
            options="codex_core.data.options:JsonlOptions",
            summary="JSON Lines, one document per row, read strictly",
        ),
    ]


@hookimpl
def codex_tokenizers() -> list[Component]:
    """Tokenizers without dependencies."""
    return [
        Component(
            "bytes",
            target="codex_core.data.bytes_tokenizer:BytesTokenizer",
            summary="One id per UTF-8 byte, plus BOS and EOS; lossless, nothing to train",
            capabilities=("lossless",),
        ),
    ]

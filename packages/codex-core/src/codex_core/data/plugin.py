"""What the data room offers: datasets of this machine's files, and the tokenizer that needs no training."""

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
            summary="UTF-8 text files, one document per file, per paragraph or per line",
        ),
        Component(
            "jsonl",
            target="codex_core.data.jsonl:JsonlDataset",
            options="codex_core.data.options:JsonlOptions",
            summary="JSON Lines, one document per row, read strictly",
        ),
        Component(
            "csv",
            target="codex_core.data.csv_rows:CsvDataset",
            options="codex_core.data.options:CsvOptions",
            summary="CSV under a header, one document per row, read strictly",
        ),
        Component(
            "parquet",
            target="codex_core.data.parquet:ParquetDataset",
            options="codex_core.data.options:ParquetOptions",
            summary="Parquet files, one document per row, read in batches",
            requires=("pyarrow",),
        ),
        Component(
            "directory",
            target="codex_core.data.directory:DirectoryDataset",
            options="codex_core.data.options:DirectoryOptions",
            summary="A tree of text files, one document per file, by patterns",
        ),
        Component(
            "hf-saved",
            target="codex_core.data.hf_saved:SavedDataset",
            options="codex_core.data.options:SavedOptions",
            summary="A folder that save_to_disk of Hugging Face datasets wrote, read from this machine",
            requires=("pyarrow",),
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

"""Options of the datasets in this room.

Decisions: an option that names a file or folder says `unit="path"`; a relative one starts at the
plan's base path, and no path becomes part of what is stored. What readers share stands in classes of its own, so
that an option has one meaning, one default and one sentence wherever it occurs; they have no slots, because two of
them could not be joined then.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from codex_core.options import option

_CONVERSATIONS = ("form", ("messages", "sharegpt"))


@attrs.frozen(kw_only=True, slots=False)
class SkippingOptions:
    """What becomes of rows that cannot be read."""

    on_error: str = option(
        "fail",
        doc="what an unreadable row does: end the reading, or be skipped and counted",
        choices=("fail", "skip"),
    )
    max_skip: int | None = option(
        None,
        doc="how many rows may be skipped; by default any number",
        minimum=0,
        only_with=("on_error", ("skip",)),
    )


@attrs.frozen(kw_only=True, slots=False)
class StreamOptions(SkippingOptions):
    """Bounds of files that are read line by line."""

    max_line_bytes: int = option(64 << 20, doc="longest line that is accepted", unit="bytes", minimum=1)
    max_expansion: int = option(200, doc="how many times its size a compressed file may expand to", minimum=1)


@attrs.frozen(kw_only=True, slots=False)
class RowOptions:
    """What the fields of a row mean."""

    form: str = option(
        "text",
        doc="what a row is",
        choices=("text", "prompt_completion", "instruction", "messages", "sharegpt"),
    )
    field: str = option("text", doc="the field that holds the text", only_with=("form", ("text",)))
    fields: Mapping[str, str] = option(
        factory=dict, doc="names of the rows' fields by the names of the form, e.g. `prompt: question`"
    )
    group: str | None = option(None, doc="the field whose value keeps rows together in one split")
    learn: str = option(
        "all",
        doc="which turns of the assistant are learned",
        choices=("all", "last"),
        only_with=_CONVERSATIONS,
    )


@attrs.frozen(kw_only=True)
class PydocOptions:
    """Which parts of the Python installation to read, and as what."""

    topics: bool = option(
        True, doc="read the language reference in `pydoc_data.topics`", only_with=("form", ("text",))
    )
    docstrings: bool = option(True, doc="read the docstrings of the standard library and of built-in modules")
    sources: bool = option(
        False,
        doc="read the source files of the standard library, one document each",
        only_with=("form", ("text",)),
    )
    form: str = option(
        "text",
        doc="texts, or signatures as instructions with the first paragraph of the docstring as output",
        choices=("text", "instruction"),
    )


@attrs.frozen(kw_only=True)
class TextOptions(StreamOptions):
    """Where text files are and what one document is."""

    path: str = option(doc="a text file, or a folder that is searched with `glob`", unit="path")
    glob: str = option("**/*.txt", doc="which files of a folder to read, in sorted order")
    document: str = option("file", doc="what one document is", choices=("file", "paragraph", "line"))


@attrs.frozen(kw_only=True)
class DirectoryOptions(SkippingOptions):
    """Which files of a tree are documents."""

    path: str = option(doc="the folder at the top", unit="path")
    include: tuple[str, ...] = option(
        ("**",), doc="patterns of relative names to read; `**` stands for any folders"
    )
    exclude: tuple[str, ...] = option(
        ("**/.*", "**/.*/**"), doc="patterns of relative names to leave out; by default what is hidden"
    )
    binary: str = option(
        "fail",
        doc="what a file with a zero byte does: end the reading, or be skipped and counted",
        choices=("fail", "skip"),
    )
    max_file_bytes: int = option(64 << 20, doc="longest file that is accepted", unit="bytes", minimum=1)


@attrs.frozen(kw_only=True)
class JsonlOptions(RowOptions, StreamOptions):
    """Where JSON Lines files are and what their rows mean."""

    path: str = option(doc="a JSON Lines file, or a folder that is searched with `glob`", unit="path")
    glob: str = option("**/*.jsonl", doc="which files of a folder to read, in sorted order")
    max_nesting: int = option(1024, doc="how deep objects and arrays may be nested", minimum=1, maximum=1024)


@attrs.frozen(kw_only=True)
class CsvOptions(RowOptions, StreamOptions):
    """Where CSV files are and what their columns mean."""

    path: str = option(doc="a CSV file with a header, or a folder that is searched with `glob`", unit="path")
    glob: str = option("**/*.csv", doc="which files of a folder to read, in sorted order")
    delimiter: str = option(",", doc="what stands between two fields", choices=(",", ";", "\t", "|"))


@attrs.frozen(kw_only=True)
class ParquetOptions(RowOptions, SkippingOptions):
    """Where Parquet files are and what their columns mean."""

    path: str = option(doc="a Parquet file, or a folder that is searched with `glob`", unit="path")
    glob: str = option("**/*.parquet", doc="which files of a folder to read, in sorted order")


@attrs.frozen(kw_only=True)
class SavedOptions(RowOptions, SkippingOptions):
    """Where a saved dataset is and what its columns mean."""

    path: str = option(doc="a folder that `save_to_disk` of Hugging Face `datasets` wrote", unit="path")
    split: str | None = option(
        None, doc="which of several saved splits to read; it must be named where there are several"
    )

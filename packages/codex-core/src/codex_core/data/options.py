"""Options of the datasets in this room.

Decision: an option that names a file or folder says `unit="path"`; a relative one starts at the
plan's base path, and no path becomes part of what is stored.
"""

from __future__ import annotations

import attrs

from codex_core.options import option


@attrs.frozen(kw_only=True)
class PydocOptions:
    """Which parts of the Python installation to read."""

    topics: bool = option(True, doc="read the language reference in `pydoc_data.topics`")
    docstrings: bool = option(True, doc="read the docstrings of the standard library and of built-in modules")
    sources: bool = option(False, doc="read the source files of the standard library, one document each")


@attrs.frozen(kw_only=True)
class TextOptions:
    """Where text files are and what one document is."""

    path: str = option(doc="a text file, or a folder that is searched with `glob`", unit="path")
    glob: str = option("**/*.txt", doc="which files of a folder to read, in sorted order")
    document: str = option("file", doc="what one document is", choices=("file", "paragraph"))


@attrs.frozen(kw_only=True)
class JsonlOptions:
    """Where JSON Lines files are and which fields count."""

    path: str = option(doc="a JSON Lines file, or a folder that is searched with `glob`", unit="path")
    glob: str = option("**/*.jsonl", doc="which files of a folder to read, in sorted order")
    field: str = option("text", doc="the field that holds the text")
    group: str | None = option(None, doc="the field whose value keeps rows together in one split")
    max_line_bytes: int = option(64 << 20, doc="longest line that is accepted", unit="bytes", minimum=1)

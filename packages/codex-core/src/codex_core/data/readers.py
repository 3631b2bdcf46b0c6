"""Which dataset reads a file that is named on the command line.

Decisions: the name decides (`.csv`, `.parquet`, ...; `.gz` and `.zst` are looked through), a folder is a saved
dataset when it says so and a tree of texts otherwise, and everything else is JSON Lines; whoever knows better names
the reader. What is passed on is what was said: defaults are the reader's own. Readers come from the registry like
those of a configuration, so a missing library is told the same way.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from codex_core.contracts import Dataset
from codex_core.data.components import Components
from codex_core.planning.structuring import options_from

_BY_SUFFIX = {".csv": "csv", ".tsv": "csv", ".parquet": "parquet", ".txt": "text", ".md": "text"}


def reader_of(path: Path) -> str:
    """The name of the dataset that reads a path.

    >>> reader_of(Path("a.csv.gz")), reader_of(Path("rows.jsonl"))
    ('csv', 'jsonl')
    """
    if path.is_dir():
        saved = any((path / name).is_file() for name in ("state.json", "dataset_dict.json"))
        return "hf-saved" if saved else "directory"
    named = path.with_suffix("") if path.suffix in (".gz", ".zst") else path
    return _BY_SUFFIX.get(named.suffix, "jsonl")


def open_reader(
    path: Path,
    *,
    registry: Components,
    reader: str | None = None,
    options: Mapping[str, Any],
    where_possible: Mapping[str, Any] | None = None,
) -> Dataset:
    """A dataset over `path`; options that say nothing (None, empty) are left to their defaults.

    `where_possible` are options for readers that have them. Raises what the registry raises for a reader that is
    unknown or lacks its library, and `ConfigError` for options that it does not have.
    """
    name = reader or reader_of(path)
    row = registry.find("datasets", name, usable=True)
    cls = registry.options_class(row)
    given = {key: value for key, value in options.items() if value not in (None, {}, ())}
    if reader is None and ".tsv" in path.suffixes:
        given["delimiter"] = "\t"
    known = {field.name for field in attrs.fields(cls)} if cls is not None and attrs.has(cls) else set()
    extra = {key: value for key, value in (where_possible or {}).items() if key in known}
    values = {"path": str(path), **extra, **given}
    dataset: Dataset = registry.load(row)(values if cls is None else options_from(cls, values, where=name))
    return dataset

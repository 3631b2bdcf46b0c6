"""Which dataset reads a file that is named on the command line.

Decisions: the name decides (`.csv`, `.parquet`, ...; `.gz` and `.zst` are looked through), a folder is a saved
dataset when it says so and a tree of texts otherwise, and everything else is JSON Lines; whoever knows better names
the reader. Readers come from the registry like those of a configuration, so a missing library is told the same way.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
    path: Path, *, registry: Components, reader: str | None = None, options: Mapping[str, Any]
) -> Dataset:
    """A dataset over `path`; options that say nothing (None, empty) are left to their defaults.

    Raises what the registry raises for a reader that is unknown or lacks its library, and `ConfigError` for options
    that it does not have.
    """
    name = reader or reader_of(path)
    row = registry.find("datasets", name, usable=True)
    given = {key: value for key, value in options.items() if value not in (None, {}, ())}
    if name in ("text", "directory") and given.get("form") == "text":
        del given["form"]  # they read nothing else
    if path.name.removesuffix(".gz").removesuffix(".zst").endswith(".tsv") and reader is None:
        given["delimiter"] = "\t"
    cls = registry.options_class(row)
    values = {"path": str(path), **given}
    built = values if cls is None else options_from(cls, values, where=name)
    dataset: Dataset = registry.load(row)(built)
    return dataset

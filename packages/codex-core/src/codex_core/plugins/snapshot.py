"""The registry's answer for this process: the stored one while it holds, else a new survey of what is installed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from codex_core import __version__
from codex_core.plugins import index
from codex_core.plugins.selection import Selection

Values = dict[str, Any]


class Snapshot(NamedTuple):
    """All rows and facts, the rows also as rendered, and search-path entries that could not be searched."""

    rows: list[Values]
    facts: list[Values]
    rendered: bytes
    search: list[str]
    skipped: list[str]


def take(
    selection: Selection, environ: Mapping[str, str], home: str | None = None, *, refresh: bool = False
) -> Snapshot:
    """The answer, stored or new; a new one is stored where that is possible.

    Raises `UsageError` for a selection or a pin that names nothing.
    """
    search = index.search_path()
    wanted = index.identity(search, selection.key, __version__)
    places = index.folders(environ, home)
    held = None if refresh else index.read_valid(wanted, places, search)
    if held is not None:
        rows = json.loads(b"[" + held.rows + b"]")
        return Snapshot(rows, json.loads(held.facts), held.rows, search, [])
    # Imported on a miss only: reading metadata and starting processes takes libraries that a hit can do without.
    from codex_core.plugins import survey

    old = None if refresh else index.read(wanted, places)
    rows, facts, rendered, skipped = survey.look(selection, environ, search, wanted, places[0], old)
    return Snapshot(rows, facts, rendered, search, skipped)

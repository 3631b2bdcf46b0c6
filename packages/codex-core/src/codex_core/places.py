"""Where state lives: the project's `.codex/`, the store of prepared data, the user's cache.

Decisions: the project root is the nearest ancestor with `.codex`, else the git root, else the starting folder.
`CODEX_STORE`, `CODEX_HOME` and `CODEX_INDEX` move the places; they are read here, at the edge, and nowhere else.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import attrs


@attrs.frozen(kw_only=True)
class Places:
    """The folders of one project on one machine; none of them needs to exist."""

    root: Path
    home: Path
    store: Path

    @property
    def state(self) -> Path:
        """Project state: failures and sessions in `journal.ndjson`, derived databases."""
        return self.root / ".codex"

    @property
    def journal(self) -> Path:
        """The project's own journal, which core writes."""
        return self.state / "journal.ndjson"

    @property
    def runs(self) -> Path:
        """Where runs go unless a run directory is given."""
        return self.root / "runs"


def find_places(start: Path, environ: Mapping[str, str] | None = None) -> Places:
    """The places for work started in the folder `start`."""
    environ = os.environ if environ is None else environ
    root = find_root(start)
    home = environ.get("CODEX_HOME")
    cache = environ.get("XDG_CACHE_HOME") or str(Path(environ.get("HOME", "~")).expanduser() / ".cache")
    return Places(
        root=root,
        home=Path(home) if home else Path(cache) / "codex",
        store=Path(environ.get("CODEX_STORE") or root / ".codex" / "store"),
    )


def find_root(start: Path) -> Path:
    """The project root for `start`: the nearest ancestor with `.codex`, else with `.git`, else `start` itself."""
    start = start.absolute()
    for mark in (".codex", ".git"):
        for folder in (start, *start.parents):
            if (folder / mark).exists():
                return folder
    return start

"""Where a saved tokenizer is looked for on a machine that cannot fetch one.

Decisions: first what was named, as a path; a bare name then in the folders that `CODEX_TOKENIZERS` lists, then in the
catalogues: `.codex/tokenizers` of the project and `tokenizers` of the user's cache (`CODEX_HOME`). Nothing else is
tried, nothing is fetched; whoever finds nothing is told every place.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from codex_core.errors import InputError
from codex_core.places import Places

#: Folders to look in, separated as in PATH.
VARIABLE = "CODEX_TOKENIZERS"

FOLDER = "tokenizers"


def find_tokenizer(named: str, *, base: Path, places: Places, environ: Mapping[str, str]) -> Path:
    """The folder or file of a saved tokenizer; raises `InputError` with every place that was tried."""
    tried = list(candidates(named, base=base, places=places, environ=environ))
    for path, _ in tried:
        if path.exists():
            return path
    is_set = VARIABLE in environ or Path(named).name != named
    raise InputError(
        code="TOK-007",
        what=f"there is no tokenizer {named!r}",
        where=str(tried[0][0]),
        why="tried "
        + "; ".join(f"{path} ({why})" for path, why in tried)
        + ("" if is_set else f"; {VARIABLE} is not set"),
        fix=f"copy it to one of these places, or name its folder; {VARIABLE} lists folders to look in",
    )


def candidates(
    named: str, *, base: Path, places: Places, environ: Mapping[str, str]
) -> Iterator[tuple[Path, str]]:
    """Every place to look in, in order, with the reason for it."""
    yield base / Path(named).expanduser(), "as named"
    if Path(named).name != named:
        return
    for folder in filter(None, environ.get(VARIABLE, "").split(os.pathsep)):
        yield Path(folder) / named, VARIABLE
    yield places.state / FOLDER / named, "catalogue of the project"
    yield places.home / FOLDER / named, "catalogue of this user"

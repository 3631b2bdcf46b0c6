"""Find where modules are without importing anything, parents included.

Decisions: the finders that Python itself would ask are asked, in their order, unless a submodule is plainly a file
of its package (of a compiled module and its source the source is taken); a finder that raises is passed over; a
folder without code (what an uninstallation left behind) does not count as a module.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    #: Where a module's code is (None for namespaces and built-ins), and where its submodules are searched.
    Found = tuple[str | None, list[str] | None]


def find_module(name: str, search: Sequence[str]) -> Found | None:
    """Where the module `name` would be imported from, given `search` for top-level names; None when nowhere."""
    places: list[str] | None = list(search)
    found: Found | None = None
    so_far = ""
    for depth, part in enumerate(name.split(".")):
        if places is None:
            return None
        so_far = f"{so_far}.{part}" if depth else part
        found = (_plain_file(part, places) if depth else None) or _ask_finders(so_far, places, top=depth == 0)
        if found is None:
            return None
        places = found[1]
    return found


def is_present(name: str, search: Sequence[str]) -> bool:
    """Whether `name` can be imported as far as files tell: a module, or a namespace that holds anything."""
    found = find_module(name, search)
    if found is None:
        return False
    origin, places = found
    return origin is not None or any(_holds_code(place) for place in places or ())


def _plain_file(part: str, places: list[str]) -> Found | None:
    """A submodule that is a file of its package, without the listing of the folder that a finder would make."""
    stem = os.path.join(places[0], part) if places else ""
    return (f"{stem}.py", None) if os.path.isfile(f"{stem}.py") and not os.path.isdir(stem) else None


def _ask_finders(name: str, places: list[str], *, top: bool) -> Found | None:
    for finder in tuple(sys.meta_path):
        by_path = getattr(finder, "__name__", "") == "PathFinder"
        try:
            spec = finder.find_spec(name, places if by_path or not top else None)
        except Exception:  # noqa: BLE001 - a finder of somebody else failed, or CPython's does for nested namespaces
            if by_path and (found := _nested_namespace(name, places)):
                return found
            continue
        if spec is not None:
            inside = spec.submodule_search_locations
            # A module without a file (built into Python, or of a foreign finder) is there all the same.
            return (spec.origin or ("built-in" if inside is None else None), inside and list(inside))
    return None


def _nested_namespace(name: str, places: list[str]) -> Found | None:
    """CPython cannot describe a namespace within a namespace that was not imported; the folders can."""
    folders = [os.path.join(place, name.rpartition(".")[2]) for place in places]
    folders = [folder for folder in folders if os.path.isdir(folder)]
    return (None, folders) if folders else None


def _holds_code(folder: str) -> bool:
    try:
        return any(name != "__pycache__" for name in os.listdir(folder))
    except OSError:
        return False

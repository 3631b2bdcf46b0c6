"""Rows and targets straight from the stored answer, for callers that can do without a registry.

Decisions: what the stored answer does not settle at once (it is out of date, the name is ambiguous or unusable,
the import fails) goes the long way through `codex_core.registry`, which decides and explains; so the two ways
cannot differ in what they load. No attrs, no click, nothing of metadata is imported on the short way.
"""

from __future__ import annotations

from importlib import import_module

from codex_core.plugins import listing
from codex_core.plugins.parsing import parse
from codex_core.plugins.selection import Selection

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: What a target must offer, by kind: the contract is in `codex_core.contracts`.
OFFERS = {
    "tokenizers": ("train", "load"),
    "models": ("build", "open"),
    "datasets": ("records", "identity"),
    "metrics": ("update", "compute"),
    "writers": ("open", "write", "flush", "close"),
    "safety_policies": ("inspect", "stream"),
    "trainers": ("fit",),
    "commands": ("invoke",),
}


def load_component(kind: str, name: str, *, selection: Selection | None = None) -> Any:
    """Import the target of the component that answers to a bare name or to `dist/name`.

    Without a `selection` the one of `CODEX_PLUGINS` and `CODEX_PLUGINS_OFF` counts. Raises what `Registry.find` and
    `Registry.load` raise.

    >>> load_component("tokenizers", "codex-core/bytes").__name__
    'BytesTokenizer'
    """
    from codex_core.plugins.containment import Contained, contained

    chosen = Selection.from_environment() if selection is None else selection
    named = [row for row in stored(chosen, kind) or () if name in (row["name"], row["id"])]
    if len(named) == 1 and named[0]["state"] == "ok":
        try:
            with contained():
                value = import_target(named[0]["target"])
                if not lacking(kind, value):
                    return value
        except Contained:
            pass  # said below, by those who say it well
    return _thoroughly(kind, name, chosen)


def rows(selection: Selection, kind: str) -> list[dict[str, Any]]:
    """The rows of one kind as plain values, from the stored answer or a new look.

    Raises `UsageError` for a selection that names nothing.
    """
    found = stored(selection, kind)
    if found is not None:
        return found
    return [row for row in listing.taken(selection) if row["kind"] == kind]


def stored(selection: Selection, kind: str) -> list[dict[str, Any]] | None:
    """The stored rows of one kind; None when there is no stored answer or it no longer holds."""
    held = listing.stored(selection)
    if held is None:
        return None
    # One object per line, the kind first: only the lines of this kind are parsed.
    first = f'{{"kind": "{kind}", '.encode()
    lines = [line for line in held.rows.split(b",\n") if line.startswith(first)]
    return [parse(line.decode("ascii")) for line in lines]


def import_target(reference: str) -> Any:
    """The object at `package.module:attribute`; raises whatever the import raises."""
    module, _, path = reference.partition(":")
    value = import_module(module)
    for part in path.split("."):
        value = getattr(value, part)
    return value


def lacking(kind: str, value: Any) -> list[str]:
    """What a target lacks of its kind's contract: names of attributes, or that it can be called."""
    missing = [name for name in OFFERS[kind] if not hasattr(value, name)]
    if not missing and kind not in ("commands", "tokenizers", "models") and not callable(value):
        missing = ["a constructor"]
    return missing


def _thoroughly(kind: str, name: str, selection: Selection) -> Any:
    from pathlib import Path

    from codex_core.places import find_places
    from codex_core.registry import Registry

    registry = Registry.open(places=find_places(Path.cwd()), selection=selection)
    return registry.load(registry.find(kind, name, usable=True))

"""From the names in a lock to the things themselves."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from codex_core.contracts import Loaded, Loader
from codex_core.lock import Lock
from codex_core.planning import assets
from codex_core.planning.structuring import options_from

if TYPE_CHECKING:
    from codex_core.registry import Registry

_KINDS = {
    "data.sources": "datasets",
    "tokenizer": "tokenizers",
    "model": "models",
    "trainer": "trainers",
    "safety": "safety_policies",
    "writers": "writers",
    "evaluation.metrics": "metrics",
}


def kind_of(section: str) -> str:
    """The kind of component that stands in a section.

    >>> kind_of("evaluation.metrics[0]")
    'metrics'
    """
    return _KINDS[section.partition("[")[0]]


def loader(
    lock: Lock, registry: Registry, *, environ: Mapping[str, str] | None = None, roots: Sequence[Path] = ()
) -> Loader:
    """The function that imports a lock's components, with their options; nothing is imported before it is asked.

    Options that name files are resolved as `planning.assets.place_of` says.
    """

    def load(section: str) -> Loaded:
        held = lock.components[section]
        row = registry.find(kind_of(section), held["id"])
        options_class = registry.options_class(row)
        where = f"lock.json, components.{section}"
        options = None if options_class is None else options_from(options_class, held["options"], where=where)
        if section in assets.SECTIONS and options is not None:
            for name in assets.path_options(options_class):
                if isinstance(written := getattr(options, name), str):
                    place = assets.place_of(
                        written, environ=environ or {}, roots=roots, option=f"{section}.{name}"
                    )
                    options = attrs.evolve(options, **{name: place.as_posix()})
        return Loaded(id=held["id"], target=registry.load(row), options=options)

    return load


def built(load: Loader, lock: Lock, section: str) -> list[tuple[str, Any]]:
    """The objects of a numbered section (`writers`, `evaluation.metrics`) as (id, object), in order."""
    pattern = re.compile(rf"{re.escape(section)}\[(\d+)\]")
    found = [(int(match[1]), name) for name in lock.components if (match := pattern.fullmatch(name))]
    loaded = [load(name) for _, name in sorted(found)]
    return [(item.id, item.target(item.options)) for item in loaded]

"""Choices of a plan, imported and built.

Decisions: a relative path among the options starts at the plan's base path; which options are paths, they say
themselves (`unit="path"`); a saved tokenizer may also be named as a catalogue knows it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import attrs

from codex_core.catalogue import find_tokenizer
from codex_core.lock import Choice, Plan
from codex_core.places import find_places
from codex_core.planning.references import resolved
from codex_core.planning.structuring import options_from


class Components(Protocol):
    """The part of the registry that preparing needs."""

    def find(self, kind: str, name: str, *, usable: bool = False) -> Any:
        """The row of a usable component; raises when there is none."""

    def load(self, row: Any) -> Any:
        """What the row's target resolves to."""

    def options_class(self, row: Any) -> type | None:
        """The options class of the row's component, if it has one."""


@attrs.frozen(kw_only=True)
class Found:
    """A component at hand: canonical id, version of its distribution, target, options."""

    id: str
    version: str | None
    target: Any
    options: Any


def find(choice: Choice, plan: Plan, *, registry: Components) -> Found:
    """The component that a plan chose, with its options as an object and their paths made absolute."""
    name = choice.id or choice.name
    row = registry.find(choice.kind, name, usable=True)
    cls = registry.options_class(row)
    options: Any = dict(choice.options)
    if cls is not None:
        options = with_paths(options_from(cls, options, where=choice.section), plan, section=choice.section)
    return Found(id=name, version=choice.version, target=registry.load(row), options=options)


def with_paths(options: Any, plan: Plan, *, section: str) -> Any:
    """Options with references to the environment resolved, whose relative paths start at the plan's base path."""
    changed = {
        field.name: str(plan.base_path / resolved(value, plan.environ, where=f"{section}.{field.name}"))
        for field in attrs.fields(type(options))
        if field.metadata.get("unit") == "path" and isinstance(value := getattr(options, field.name), str)
    }
    for field in attrs.fields(type(options)):
        value = getattr(options, field.name)
        if field.metadata.get("unit") == "path or name" and value and (plan.base_path / value).is_file():
            changed[field.name] = str(plan.base_path / value)
    if section == "tokenizer" and "path" in changed:
        changed["path"] = str(_saved_tokenizer(options.path, plan))
    return attrs.evolve(options, **changed)


def _saved_tokenizer(named: str, plan: Plan) -> Path:
    """The tokenizer that a plan takes as it is: at its path, or by its name in a catalogue."""
    return find_tokenizer(
        resolved(named, plan.environ, where="tokenizer.path"),
        base=plan.base_path,
        places=find_places(plan.base_path, plan.environ),
        environ=plan.environ,
    )

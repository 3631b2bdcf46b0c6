"""Choices of a plan, imported and built.

Decision: a relative path among the options starts at the plan's base path; which options are paths, they say
themselves (`unit="path"`).
"""

from __future__ import annotations

from typing import Any, Protocol

import attrs

from codex_core.lock import Choice, Plan
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
    return attrs.evolve(options, **changed)

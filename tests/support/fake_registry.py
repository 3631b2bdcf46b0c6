"""A registry over a given list of components, for tests of what asks one; states can be set by hand.

It resolves names, options classes and estimates for real (the targets are imported); only discovery is left out.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import attrs

from codex_core.components import KIND_HOOKS, Component, canonical_id
from codex_core.errors import MissingDependency, UnknownComponent


@attrs.frozen(kw_only=True)
class FakeRow:
    """One claimed component, with the attributes of a registry's row."""

    kind: str
    name: str
    dist: str
    target: str
    state: str = "ok"
    reason: str | None = None
    hint: str | None = None
    fix: str | None = None
    version: str = "1.0.0"
    options: str | None = None
    runtime: str | None = None
    estimate: str | None = None
    summary: str = ""

    @property
    def id(self) -> str:
        return canonical_id(self.dist, self.name)


@attrs.define
class FakeRegistry:
    """Rows, and names that are known without being installed: `(kind, name) -> install line`."""

    rows: tuple[FakeRow, ...]
    known: Mapping[tuple[str, str], str] = attrs.field(factory=dict)

    @classmethod
    def of(cls, *modules: str, known: Mapping[tuple[str, str], str] | None = None) -> FakeRegistry:
        """A registry of what plugin modules (`dist=package.module`) offer."""
        rows = [row for module in modules for row in offered(*module.split("="))]
        return cls(tuple(sorted(rows, key=lambda row: (row.kind, row.name))), known or {})

    def with_state(self, id: str, state: str, **fields: str) -> FakeRegistry:
        """The registry with one row in another state."""
        rows = [attrs.evolve(row, state=state, **fields) if row.id == id else row for row in self.rows]
        return FakeRegistry(tuple(rows), self.known)

    def without(self, dist: str, known: Mapping[tuple[str, str], str]) -> FakeRegistry:
        """The registry after a distribution was uninstalled."""
        return FakeRegistry(tuple(row for row in self.rows if row.dist != dist), known)

    def find(
        self, kind: str, name: str, *, pins: Mapping[str, str] | None = None, usable: bool = True
    ) -> FakeRow:
        rows = [row for row in self.rows if row.kind == kind and name in (row.name, row.id)]
        if rows:
            return rows[0]
        short = name.rpartition("/")[2]
        if (kind, short) in self.known:
            what = f"{kind} {short!r} is not installed"
            raise MissingDependency(code="REG-000", what=what, fix=self.known[kind, short])
        names = sorted(row.name for row in self.rows if row.kind == kind)
        raise UnknownComponent(
            code="REG-000", what=f"unknown {kind} {name!r}", why=f"there are {', '.join(names)}"
        )

    def options_class(self, row: FakeRow) -> type | None:
        return imported(row.options)

    def lacking(self, row: FakeRow, modules: Sequence[str]) -> tuple[str, str] | None:
        """As the registry's: what cannot be found, and the line that brings it."""
        missing = [name for name in modules if importlib.util.find_spec(name) is None]
        return (f"{', '.join(missing)} is not installed", f"pip install {row.dist}") if missing else None

    def estimate(self, row: FakeRow) -> Callable[..., Any] | None:
        return imported(row.estimate)

    def freeze(self) -> tuple[dict[str, Any], ...]:
        dists = sorted({(row.dist, row.version) for row in self.rows})
        return tuple({"dist": dist, "version": version} for dist, version in dists)


def offered(dist: str, module: str) -> Iterable[FakeRow]:
    """Rows for what the hooks of a plugin module return."""
    plugin = importlib.import_module(module)
    for kind, hook in KIND_HOOKS.items():
        for component in getattr(plugin, hook, tuple)():
            yield row_of(component, kind=kind, dist=dist)


def row_of(component: Component, *, kind: str, dist: str) -> FakeRow:
    """The row of one component."""
    return FakeRow(
        kind=kind,
        name=component.name,
        dist=dist,
        target=component.target,
        options=component.options,
        runtime=component.runtime,
        estimate=component.estimate,
        summary=component.summary,
    )


def imported(target: str | None) -> Any:
    """What `package.module:attribute` names; None for None."""
    if target is None:
        return None
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)

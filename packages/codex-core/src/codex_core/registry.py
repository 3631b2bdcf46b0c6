"""The registry: every component of every installed distribution, and the way from a name to an object.

Decisions: opening it runs no plugin code in this process; `load`, `options_class`, `estimate` and `fire` are the
doors through which plugin code is imported, one component at a time, each guarded. A bare name is for humans; what
is saved is the canonical id `dist/name`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import attrs

from codex_core.components import EVENT_HOOKS, KINDS
from codex_core.errors import MissingDependency, UnknownComponent, UsageError
from codex_core.places import Places
from codex_core.plugins import known, loading, snapshot
from codex_core.plugins.containment import Contained, contained
from codex_core.plugins.known import KnownComponent
from codex_core.plugins.selection import Selection, normalised

if TYPE_CHECKING:
    from codex_core.events import PluginFailed


def _pair(value: Sequence[int] | None) -> tuple[int, int] | None:
    return None if value is None else (value[0], value[1])


@attrs.frozen(kw_only=True)
class Row:
    """One claimed component, or a plugin that could not be asked; `reasons.py` explains states and reasons."""

    kind: str
    name: str
    id: str
    state: str
    reason: str | None
    hint: str | None
    fix: str | None
    dist: str
    version: str | None
    location: str | None
    editable: bool
    built_in: bool
    entry_point: str | None
    module: str | None
    api: tuple[int, int] | None = attrs.field(converter=_pair)
    target: str | None
    options: str | None
    estimate: str | None
    requires: tuple[str, ...] = attrs.field(converter=tuple)
    missing: tuple[str, ...] = attrs.field(converter=tuple)
    extras: tuple[str, ...] = attrs.field(converter=tuple)
    capabilities: frozenset[str] = attrs.field(converter=frozenset)
    runtime: str | None
    overrides: str | None
    deprecated: str | None
    summary: str
    others: tuple[str, ...] = attrs.field(converter=tuple)
    copies: tuple[str, ...] = attrs.field(converter=tuple)
    notes: tuple[str, ...] = attrs.field(converter=tuple)
    import_ms: float | None = attrs.field(eq=False)
    memory_mb: float | None = attrs.field(eq=False)

    @property
    def usable(self) -> bool:
        """Whether the component can be loaded by its canonical id."""
        return self.state in ("ok", "conflict", "shadowed") and not self.missing


#: States that say something of one component and nothing of others in its plugin.
_OF_ONE_COMPONENT = frozenset({"ok", "missing-extra", "conflict", "shadowed"})


class Registry:
    """The components of this environment, as the user's selection leaves them. Make one with `open`."""

    def __init__(self, taken: snapshot.Snapshot, selection: Selection) -> None:
        self.rows: tuple[Row, ...] = tuple(Row(**values) for values in taken.rows)
        self.skipped: tuple[str, ...] = tuple(taken.skipped)
        self._facts = taken.facts
        self._search = taken.search
        self._selection = selection
        self._disabled: set[str] = set()

    @classmethod
    def open(
        cls,
        *,
        places: Places,
        selection: Selection | None = None,
        refresh: bool = False,
        environ: Mapping[str, str] = os.environ,
    ) -> Registry:
        """What is installed, from the index while it holds; raises `UsageError` for a selection that names nothing.

        Without a `selection` the one of `CODEX_PLUGINS` and `CODEX_PLUGINS_OFF` counts.
        """
        chosen = Selection.from_environment(environ) if selection is None else selection
        return cls(snapshot.take(chosen, environ, str(places.home), refresh=refresh), chosen)

    def of_kind(self, kind: str) -> tuple[Row, ...]:
        """The rows of one kind, sorted by name."""
        return tuple(row for row in self.rows if row.kind == kind)

    def find(
        self,
        kind: str,
        name: str,
        *,
        pins: Mapping[str, str] | None = None,
        usable: bool = False,
        where: str | None = None,
    ) -> Row:
        """The row that answers to a bare name or to a canonical id `dist/name`.

        Raises `UnknownComponent` (exit 2) for a name that nobody knows, `MissingDependency` (exit 3) for one that
        only an installation brings, `UsageError` for one that several claim. With `usable=True` a row that cannot
        be loaded raises too; without, it is returned with its state.
        """
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}; got {kind!r}")
        rows = self._repinned(kind, pins) if pins else self.of_kind(kind)
        row = self._by_id(rows, name) if "/" in name else self._by_name(rows, kind, name, where)
        if row is None:
            raise self._unknown(kind, name, where)
        if usable and not row.usable:
            raise MissingDependency(
                code="REG-005" if row.missing else "REG-007",
                what=f"{_one(kind)} {name!r} cannot be used: {row.state}",
                where=where,
                why=row.hint,
                fix=row.fix,
            )
        return row

    def known(self, kind: str, name: str) -> KnownComponent | None:
        """What this core knows of a component whether or not it is installed."""
        return known.find(kind, name)

    def load(self, row: Row) -> Any:
        """Import a component's target; raises `PluginError` or `MissingDependency` naming distribution and place."""
        self._require(row)
        assert row.target is not None
        return loading.load_target(
            row.target, dist=row.dist, what=f"{_one(row.kind)} {row.id}", kind=row.kind
        )

    def options_class(self, row: Row) -> type | None:
        """Import a component's options class; None when it takes no options."""
        if row.options is None:
            return None
        found = loading.load_target(row.options, dist=row.dist, what=f"the options of {row.id}")
        if not (isinstance(found, type) and attrs.has(found)):
            raise loading.PluginError(
                phase="type",
                code="REG-013",
                what=f"the options of {row.id} are no attrs class",
                where=row.options,
                fix=f"pip install --upgrade {row.dist}",
            )
        return found

    def lacking(self, row: Row, modules: Sequence[str]) -> tuple[str, str] | None:
        """What of `modules` cannot be found, as a sentence, and the command that brings it; None when all is there."""
        from codex_core.plugins.locate import is_present
        from codex_core.plugins.requirements import Requirement, install_line

        missing = [name for name in modules if not is_present(name, self._search)]
        if not missing:
            return None
        fact = next(fact for fact in self._facts if fact["dist"] == row.dist)
        held = [Requirement(*one) for one in fact["requirements"]]
        source = row.location if row.editable else None
        fix = install_line(row.dist, missing=missing, requirements=held, source=source)
        return f"{', '.join(missing)} is not installed", fix

    def estimate(self, row: Row) -> Callable[..., Any] | None:
        """Import a component's memory estimate, `(options, lock) -> Memory`; None when it has none."""
        if row.estimate is None:
            return None
        found: Callable[..., Any] = loading.load_target(
            row.estimate, dist=row.dist, what=f"the estimate of {row.id}"
        )
        return found

    def describe_options(self, rows: Sequence[Row]) -> list[dict[str, Any]]:
        """The fields of components' options, asked of a child process: per row `fields`, `doc`, or a `problem`."""
        from codex_core.plugins import probe

        asked = [row.options for row in rows if row.options is not None]
        answers = iter(probe.describe_options(asked, self._search, probe.Limits.read(os.environ)))
        nothing: dict[str, Any] = {"fields": [], "doc": "", "problem": None}
        return [nothing if row.options is None else next(answers) for row in rows]

    def freeze(self) -> tuple[dict[str, Any], ...]:
        """The plugins as a lock keeps them: what is installed and what it offers, without measurements."""
        from codex_core.plugins import frozen

        return frozen.freeze(self._facts)

    def fire(self, hook_name: str, ctx: Any) -> list[PluginFailed]:
        """Call an event hook of every plugin that implements it; a failing one is reported and not called again."""
        if hook_name not in EVENT_HOOKS:
            raise ValueError(f"{hook_name} is no event; events are {', '.join(EVENT_HOOKS)}")
        from codex_core.events import PluginFailed

        failures: list[PluginFailed] = []
        for fact in self._facts:
            plugin = f"{fact['dist']}/{fact['entry_point']}"
            if fact["problem"] is not None or hook_name not in fact["events"] or plugin in self._disabled:
                continue
            try:
                with contained():
                    hook = loading.load_target(
                        f"{fact['module']}:{hook_name}", dist=fact["dist"], what=plugin
                    )
                    hook(ctx=ctx)
            except Contained as held:
                self._disabled.add(plugin)
                place = loading.place_of(held.error, fact["module"].partition(".")[0])
                reason = f"{loading.describe(held.error)}{f' at {place}' if place else ''}"
                failures.append(PluginFailed(plugin=plugin, hook=hook_name, reason=reason))
        return failures

    def _by_id(self, rows: Sequence[Row], name: str) -> Row | None:
        dist, _, bare = name.partition("/")
        row = next((row for row in rows if row.id == f"{normalised(dist)}/{bare}"), None)
        if row is not None and row.usable and row.state != "ok":
            # The canonical id is unambiguous: what only concerns the bare name does not matter here.
            return attrs.evolve(row, state="ok", reason=None, hint=None, fix=None)
        return row

    def _by_name(self, rows: Sequence[Row], kind: str, name: str, where: str | None) -> Row | None:
        claims = [row for row in rows if row.name == name]
        holders = [row for row in claims if row.state not in ("shadowed", "conflict")]
        if holders or not claims:
            return next((row for row in holders if row.state == "ok"), holders[0] if holders else None)
        ids = ", ".join(row.id for row in claims)
        raise UsageError(
            code="REG-006",
            what=f"{_one(kind)} {name!r} is ambiguous: {ids} claim it",
            where=where,
            why="a bare name must have one owner; the order of installation never decides",
            fix=f"write one of {ids}, or add plugins: {{pins: {{{kind}/{name}: {claims[0].dist}}}}}",
        )

    def _repinned(self, kind: str, pins: Mapping[str, str]) -> tuple[Row, ...]:
        from codex_core.plugins import survey
        from codex_core.plugins.resolve import resolve

        selection = Selection(
            only=self._selection.only, off=self._selection.off, pins={**self._selection.pins, **pins}
        )
        missing = {name for row in self.rows for name in row.missing}
        values = resolve(self._facts, selection, lambda name: name not in missing)
        survey.check_pins(selection, values)
        return tuple(Row(**one) for one in values if one["kind"] == kind)

    def _unknown(self, kind: str, name: str, where: str | None) -> Exception:
        offered = known.find(kind, name)
        if offered is not None:
            held_up = next(
                (
                    row
                    for row in self.rows
                    if row.dist == offered.distribution and row.state not in _OF_ONE_COMPONENT
                ),
                None,
            )
            return MissingDependency(
                code="REG-004",
                what=f"{_one(kind)} {name!r}: not installed",
                where=where,
                why=f"{held_up.id} is {held_up.state}: {held_up.hint}"
                if held_up
                else f"{offered.distribution} offers it ({offered.summary}); {known.INSTALL_HINT}",
                fix=(held_up and held_up.fix) or offered.install_line,
            )
        names = sorted(
            {row.name for row in self.of_kind(kind)}
            | {one.name for one in known.components() if one.kind == kind}
        )
        near = get_close_matches(name.rpartition("/")[2], names, n=3)
        why = f"did you mean {' or '.join(map(repr, near))}?" if near else f"there are: {', '.join(names)}"
        return UnknownComponent(
            code="REG-003",
            what=f"unknown {_one(kind)} {name!r}",
            where=where,
            why=why,
            fix=f"codex registry list {kind}",
        )

    def _require(self, row: Row) -> None:
        if row.usable and row.target is not None:
            return
        raise MissingDependency(
            code="REG-005" if row.missing else "REG-007",
            what=f"{_one(row.kind)} {row.id} cannot be used: {row.state}",
            why=row.hint,
            fix=row.fix,
        )


def verify_frozen(plugins: Sequence[Mapping[str, Any]]) -> None:
    """Check in a worker process that the plugins of a lock are installed as they were frozen; nothing is looked for.

    Raises `MissingDependency` that names every plugin that is missing (REG-016) or another version (REG-017).
    """
    from codex_core.plugins import frozen

    frozen.verify_frozen(plugins)


def _one(kind: str) -> str:
    """The kind of one component, for sentences."""
    return "safety policy" if kind == "safety_policies" else kind.removesuffix("s")

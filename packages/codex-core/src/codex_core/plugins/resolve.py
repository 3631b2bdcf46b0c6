"""From facts of plugins to rows of the registry: who answers to which name, and why not.

Decisions: a pin wins, then the built-in, then the only claimant; two claimants are both in conflict, whatever the
order of the search path. Replacing a built-in takes `overrides` in the plugin and a pin. Rows are plain values with
the keys of `ROW_FIELDS`, sorted; a plugin that cannot be asked for its components has one row of kind `plugin`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from codex_core.components import KINDS
from codex_core.plugins.reasons import REASONS
from codex_core.plugins.requirements import Requirement, install_line
from codex_core.plugins.selection import Selection

if TYPE_CHECKING:
    from codex_core.plugins.discovery import Fact

Values = dict[str, Any]

#: Keys of a row, in the order in which they are printed.
ROW_FIELDS = (
    "kind",
    "name",
    "id",
    "state",
    "reason",
    "hint",
    "fix",
    "dist",
    "version",
    "location",
    "editable",
    "built_in",
    "entry_point",
    "module",
    "api",
    "target",
    "options",
    "estimate",
    "requires",
    "missing",
    "extras",
    "capabilities",
    "runtime",
    "overrides",
    "deprecated",
    "summary",
    "others",
    "copies",
    "notes",
    "import_ms",
    "memory_mb",
)

_KIND_ORDER = {kind: place for place, kind in enumerate((*KINDS, "events", "plugin"))}


def resolve(facts: Iterable[Fact], selection: Selection, present: Callable[[str], bool]) -> list[Values]:
    """The rows for these facts; `present` tells whether a module can be found, without importing it."""
    rows: list[Values] = []
    for fact in facts:
        rows += _rows_of(fact, selection, present)
    _refuse_twins(rows)
    claims: dict[tuple[str, str], list[Values]] = {}
    for row in rows:
        if row["state"] in ("ok", "missing-extra") and row["kind"] in KINDS:
            claims.setdefault((row["kind"], row["name"]), []).append(row)
    for (kind, name), claimants in claims.items():
        _decide(claimants, selection.pins.get(f"{kind}/{name}"))
    return sorted(rows, key=sort_key)


def sort_key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """Kinds in their order, then names, then distributions."""
    return (_KIND_ORDER[row["kind"]], row["name"], row["dist"], str(row["entry_point"]), str(row["location"]))


def needed_modules(facts: Iterable[Fact]) -> set[str]:
    """Modules whose presence decides about rows: declared requirements, and targets that were not found."""
    needed = {name for fact in facts for component in fact["components"] for name in component["requires"]}
    return needed.union(*(fact["absent_targets"] for fact in facts))


def _rows_of(fact: Fact, selection: Selection, present: Callable[[str], bool]) -> list[Values]:
    base = _base(fact)
    if fact["problem"] is not None:
        return [_with_problem(base, **fact["problem"])]
    if not fact["components"]:
        return [{**base, "kind": "events", "summary": f"listens to {', '.join(fact['events'])}"}]
    return [_component_row(base, fact, component, selection, present) for component in fact["components"]]


def _base(fact: Fact) -> Values:
    name = str(fact["entry_point"] or fact["dist"])
    row: Values = dict.fromkeys(ROW_FIELDS)
    row |= {key: fact[key] for key in row if key in fact}
    row |= {"kind": "plugin", "name": name, "id": f"{fact['dist']}/{name}", "state": "ok", "summary": ""}
    row |= {key: [] for key in ("requires", "missing", "extras", "capabilities", "others")}
    row |= {"copies": list(fact["copies"]), "notes": list(fact["notes"])}
    return row


def _component_row(
    base: Values, fact: Fact, component: Values, selection: Selection, present: Callable[[str], bool]
) -> Values:
    dist, name = fact["dist"], component["name"]
    row: Values = {**base, **component, "id": f"{dist}/{name}", "others": [], "notes": list(base["notes"])}
    if component["deprecated"]:
        row["notes"].append(f"deprecated: {component['deprecated']}")
    requirements = [Requirement(*one) for one in fact["requirements"]]
    row["missing"] = [module for module in component["requires"] if not present(module)]
    row["extras"] = sorted({one.extra for one in _bringing(component["requires"], requirements) if one.extra})
    reason = selection.component_reason(dist, str(fact["entry_point"]), name)
    if reason is not None:
        return _with_problem(row, reason, *blocked_words(reason, f"{dist}/{name}"))
    target = component["target"].partition(":")[0]
    if target in fact["absent_targets"] and not present(target):
        fix = f"pip install --force-reinstall {dist}"
        return _with_problem(
            row, "target-not-found", f"{target!r} cannot be found where {dist} is installed", fix
        )
    if row["missing"]:
        source = fact["location"] if fact["editable"] else None
        fix = install_line(dist, missing=row["missing"], requirements=requirements, source=source)
        return _with_problem(row, "missing-requirement", f"{', '.join(row['missing'])} is not installed", fix)
    return row


def _refuse_twins(rows: list[Values]) -> None:
    """Two plugins of one distribution that offer the same name: its id would mean either, so both are refused."""
    by_id: dict[tuple[str, str], list[Values]] = {}
    for row in rows:
        if row["kind"] in KINDS:
            by_id.setdefault((row["kind"], row["id"]), []).append(row)
    for (kind, id), twins in by_id.items():
        points = " and ".join(sorted(str(row["entry_point"]) for row in twins))
        for row in twins if len(twins) > 1 else ():
            said = f"the plugins {points} of {row['dist']} both offer {kind}/{row['name']}"
            fix = (
                f"CODEX_PLUGINS_OFF={row['dist']}/{twins[-1]['entry_point']} codex registry show {kind}/{id}"
            )
            _mark(row, "duplicate-name", said, fix)


def blocked_words(reason: str, what: str) -> tuple[str, str]:
    """Hint and fix of a row that the user's selection blocks."""
    if reason == "switched-off":
        hint = f"{what} is switched off by CODEX_PLUGINS_OFF, `-p no:...` or plugins.off"
        return hint, f"take {what} out of CODEX_PLUGINS_OFF, `-p no:...` and plugins.off"
    return (
        f"{what} is not among CODEX_PLUGINS or plugins.only",
        f"add {what} to CODEX_PLUGINS or plugins.only",
    )


def _decide(claimants: list[Values], pin: str | None) -> None:
    """Settle who of the usable claimants of one name answers to it; marks the others in place."""
    for row in claimants:
        row["others"] = sorted(other["id"] for other in claimants if other is not row)
    built_in = next((row for row in claimants if row["built_in"]), None)
    pinned = next((row for row in claimants if row["dist"] == pin), None)
    winner = _winner(claimants, built_in, pinned)
    for row in claimants:
        if winner is None:
            others = " and ".join([row["id"], *row["others"]])
            _mark(
                row,
                "name-claimed-twice",
                f"{row['kind']}/{row['name']} is claimed by {others}",
                _pin_line(row),
            )
        elif row is not winner:
            _mark(row, *_shadow(row, winner, pinned, built_in))


def _winner(claimants: list[Values], built_in: Values | None, pinned: Values | None) -> Values | None:
    if pinned is not None and (
        built_in is None or pinned is built_in or pinned["overrides"] == pinned["name"]
    ):
        return pinned
    return built_in or (claimants[0] if len(claimants) == 1 else None)


def _shadow(
    row: Values, winner: Values, pinned: Values | None, built_in: Values | None
) -> tuple[str, str, str]:
    held = f"{winner['id']} answers to {row['kind']}/{row['name']}"
    if row is pinned:
        said = (
            f"{held}; {row['dist']} is pinned, but its component does not declare overrides={row['name']!r}"
        )
        return "override-not-declared", said, f"in the configuration, write name: {row['id']}"
    if winner is pinned:
        return "pinned-elsewhere", f"{held}, by a pin", f"in the configuration, write name: {row['id']}"
    if built_in is not None and row["overrides"] == row["name"]:
        return "override-not-pinned", f"{held}; replacing a built-in takes a pin too", _pin_line(row)
    return "built-in-name", f"{held}, which is built in", f"in the configuration, write name: {row['id']}"


def _mark(row: Values, reason: str, hint: str, fix: str) -> None:
    row |= {"state": REASONS[reason][0], "reason": reason, "hint": hint, "fix": fix}


def _with_problem(row: Values, reason: str, hint: str, fix: str) -> Values:
    _mark(row, reason, hint, fix)
    return row


def _pin_line(row: Values) -> str:
    return f"in the configuration, plugins: {{pins: {{{row['kind']}/{row['name']}: {row['dist']}}}}}"


def _bringing(modules: Iterable[str], requirements: list[Requirement]) -> list[Requirement]:
    from codex_core.plugins.requirements import bringing

    return [one for module in modules if (one := bringing(module, requirements)) is not None]

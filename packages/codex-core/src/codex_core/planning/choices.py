"""Names in a configuration become components of the registry, with their options checked and filled in.

Decisions: a component that is known but cannot be used is no mistake of the configuration; it keeps its name and
options as written and says what is in the way. Options are checked whenever their class can be imported, which
takes no heavy library. What only some options take (`lora` on a Hugging Face model takes peft) an options object
names in its attribute `needs`, import names; the others a component names in `requires`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from codex_core.errors import CodexError, MissingDependency, PolicyError
from codex_core.planning.configio import dotted
from codex_core.planning.sections import COMPONENT_KINDS, COMPONENT_LISTS, NO_SAFETY, ComponentChoice
from codex_core.planning.structuring import Mistake, plain_values, structure, unknown_key

if TYPE_CHECKING:
    from codex_core.registry import Registry, Row


#: The policy that holds when a configuration names none and several are installed.
DEFAULT_POLICY = "codex-safety/secrets"


@attrs.frozen(kw_only=True)
class Resolved:
    """A choice as the registry sees it: `choice` with canonical id and all options, `typed` the options object."""

    section: str
    kind: str
    choice: ComponentChoice
    id: str | None = None
    version: str | None = None
    state: str = "not-installed"
    problem: str | None = None
    fix: str | None = None
    runtime: str | None = None
    typed: Any = None


def written_choices(values: Any) -> Iterator[tuple[str, str, ComponentChoice]]:
    """Section, kind and choice of every well-formed component in plain values, whatever else is wrong with them."""
    places = {"data.sources": COMPONENT_LISTS["data.sources"], **COMPONENT_KINDS, **COMPONENT_LISTS}
    for place, kind in places.items():
        held = _below(values, place)
        if place in COMPONENT_KINDS:
            yield from _choice(place, kind, held)
            continue
        for index, item in enumerate(held if isinstance(held, list | tuple) else ()):
            yield from _choice(f"{place}[{index}]", kind, item)


def with_choices(values: Mapping[str, Any], found: Mapping[str, Resolved]) -> dict[str, Any]:
    """The values with every resolved component in place of what was written."""
    changed = {key: dict(item) if isinstance(item, Mapping) else item for key, item in values.items()}
    for section in COMPONENT_KINDS:
        if section in found:
            changed[section] = found[section].choice.as_written()
    for place in COMPONENT_LISTS:
        *parents, last = place.split(".")
        holder = changed[parents[0]] if parents else changed
        sections = [f"{place}[{index}]" for index in range(len(holder.get(last) or ()))]
        holder[last] = [found[section].choice.as_written() for section in sections]
    return changed


def resolve(
    section: str, kind: str, choice: ComponentChoice, *, registry: Registry, pins: Mapping[str, str]
) -> tuple[Resolved, list[Mistake]]:
    """A choice resolved, and the mistakes in its options; raises `CodexError` for a name that nobody knows."""
    if kind == "safety_policies" and choice.name == NO_SAFETY:
        return Resolved(section=section, kind=kind, choice=choice, id=NO_SAFETY, state="ok"), _no_safety(
            choice
        )
    try:
        row = registry.find(kind, choice.name, pins=pins, usable=False)
    except MissingDependency as error:
        absent = Resolved(
            section=section, kind=kind, choice=choice, problem=error.why or error.what, fix=error.fix
        )
        return absent, []
    resolved = Resolved(
        section=section,
        kind=kind,
        choice=ComponentChoice(row.id, choice.options),
        id=row.id,
        version=row.version,
        state=row.state,
        problem=None if row.state == "ok" else row.hint or row.reason,
        fix=None if row.state == "ok" else row.fix,
        runtime=row.runtime,
    )
    return _with_options(resolved, row, registry)


def default_safety(registry: Registry) -> list[ComponentChoice]:
    """The policy that a configuration without a `safety` line gets: the one that is installed, or none.

    Raises `PolicyError` when several are installed and none of them is the built-in `secrets`.
    """
    rows = [row for row in registry.rows if row.kind == "safety_policies" and row.state == "ok"]
    built_in = [row for row in rows if row.id == DEFAULT_POLICY]
    if len(built_in or rows) > 1:
        raise PolicyError(
            code="PLN-003",
            what="several safety policies are installed and the configuration names none",
            where="safety",
            why=f"installed: {', '.join(sorted(row.id for row in rows))}",
            fix="add `safety: {name: ...}`",
        )
    return [ComponentChoice(row.id) for row in built_in or rows]


def _with_options(resolved: Resolved, row: Row, registry: Registry) -> tuple[Resolved, list[Mistake]]:
    section, options = resolved.section, resolved.choice.options
    if row.options is None:
        if row.state != "ok":
            return resolved, []  # a plugin that could not be read says nothing about its options
        return resolved, [unknown_key(dotted(section, key), key, ()) for key in options]
    try:
        cls = registry.options_class(row)
    except CodexError as error:
        state = "broken" if row.state == "ok" else row.state
        problem, fix = resolved.problem or error.what, resolved.fix or error.fix
        return attrs.evolve(resolved, state=state, problem=problem, fix=fix), []
    if cls is None:
        return resolved, []
    typed, mistakes = structure(cls, dict(options), section)
    if mistakes:
        return resolved, mistakes
    # Once around: a default of 0 for a number becomes 0.0 as a written 0 does, so that both have one hash.
    typed, mistakes = structure(cls, plain_values(typed), section)
    assert not mistakes, f"{cls.__qualname__} does not accept its own values: {mistakes}"
    choice = ComponentChoice(resolved.choice.name, plain_values(typed))
    return _with_needs(attrs.evolve(resolved, choice=choice, typed=typed), row, registry), []


def _with_needs(resolved: Resolved, row: Row, registry: Registry) -> Resolved:
    """What is in the way of options that take a library which the component alone does not (`needs`)."""
    names: tuple[str, ...] = getattr(resolved.typed, "needs", ())
    lacking = registry.lacking(row, names) if names and resolved.state == "ok" else None
    if lacking is None:
        return resolved
    hint, fix = lacking
    return attrs.evolve(resolved, state="missing-extra", problem=f"with these options, {hint}", fix=fix)


def _no_safety(choice: ComponentChoice) -> list[Mistake]:
    reason = choice.options.get("reason")
    mistakes = [unknown_key(f"safety.{key}", key, ["reason"]) for key in choice.options if key != "reason"]
    if not (isinstance(reason, str) and reason.strip()):
        what = "switching safety off needs a reason"
        mistakes.append(Mistake("safety.reason", "CFG-007", what, fix="safety: {name: none, reason: ...}"))
    return mistakes


def _below(values: Any, path: str) -> Any:
    for step in path.split("."):
        values = values.get(step) if isinstance(values, Mapping) else None
    return values


def _choice(section: str, kind: str, held: Any) -> Iterator[tuple[str, str, ComponentChoice]]:
    built, _ = structure(ComponentChoice, held) if held is not None else (None, [])
    if built is not None:
        yield section, kind, built

"""What every configuration key means, read from the classes that hold it: for `explain` and for the reference.

Decision: there is no second table; a key's documentation is the `option` that declares it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, get_args, get_origin

import attrs

from codex_core.config import RunConfig
from codex_core.duration import Duration
from codex_core.errors import UsageError
from codex_core.planning.idle import only_with_words
from codex_core.planning.sections import COMPONENT_KINDS, COMPONENT_LISTS, ComponentChoice
from codex_core.planning.structuring import init_fields, near, plain_values, type_words
from codex_core.planning.yamlout import flow

if TYPE_CHECKING:
    from codex_core.registry import Registry


@attrs.frozen(kw_only=True)
class FieldDoc:
    """One key: its dotted path, who owns it, and what `option` says of it. `default` is None when it is required."""

    path: str
    owner: str
    type: str
    doc: str
    default: str | None
    unit: str | None = None
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    resumable: bool = False
    only_with: str | None = None

    def lines(self) -> list[str]:
        """The key as readable lines."""
        default = "required" if self.default is None else self.default
        told = {
            "type": self.type,
            "default": default,
            "unit": self.unit,
            "choices": ", ".join(self.choices),
            "bounds": self.bounds,
            "counts": self.only_with,
            "owner": self.owner,
            "resume": "may be changed" if self.resumable else "stays as it was",
        }
        return [
            f"{self.path}: {self.doc}",
            *(f"  {name:<8} {value}" for name, value in told.items() if value),
        ]

    @property
    def bounds(self) -> str:
        """`at least 1, at most 16`, or nothing."""
        ends = (("at least", self.minimum), ("at most", self.maximum))
        return ", ".join(f"{word} {end:g}" for word, end in ends if end is not None)


def section_fields() -> Iterator[FieldDoc]:
    """Every key of the sections, in the order of the file; components as a whole."""
    for field in init_fields(RunConfig):
        type_: Any = field.type
        if attrs.has(type_) and type_ is not ComponentChoice:
            yield from fields_of(type_, field.name, owner="codex-core")
        else:
            yield _field_doc(field, field.name, owner="codex-core")


def fields_of(cls: type, path: str, *, owner: str) -> Iterator[FieldDoc]:
    """Every key of an options class that stands at `path`, those of a group of options within it included."""
    for field in init_fields(cls):
        yield _field_doc(field, f"{path}.{field.name}", owner=owner)
        group = _group(field.type)
        if group is not None:
            yield from fields_of(group, f"{path}.{field.name}", owner=owner)


#: Where components of a kind stand in a configuration.
PLACES = {**COMPONENT_KINDS, **{f"{name}[]": kind for name, kind in COMPONENT_LISTS.items()}}


def component_fields(registry: Registry) -> Iterator[FieldDoc]:
    """Every option of every component whose options class can be imported."""
    for place, kind in PLACES.items():
        for row in registry.rows:
            cls = (
                registry.options_class(row)
                if row.kind == kind and row.state == "ok" and row.options
                else None
            )
            if cls is not None:
                yield from fields_of(cls, place, owner=row.id)


def explain(key: str, registry: Registry) -> list[FieldDoc]:
    """What a key means, for everyone who has it; a section gives all its keys. Raises `UsageError` for no such key.

    `trainer.lr` is answered for every trainer with an `lr`, `data.sources[0].path` for every dataset with a `path`.
    """
    wanted = "".join(f"{part.partition('[')[0]}[]" if "[" in part else part for part in _split_keep(key))
    every = [*section_fields(), *component_fields(registry)]
    exact = [field for field in every if field.path == wanted]
    found = exact or [field for field in every if field.path.startswith((f"{wanted}.", f"{wanted}[]."))]
    if not found:
        raise UsageError(
            code="CFG-012",
            what=f"there is no configuration key {key!r}",
            why=near(wanted, {field.path for field in every}),
            fix="codex config explain",
        )
    return found


def _field_doc(field: attrs.Attribute[Any], path: str, *, owner: str) -> FieldDoc:
    meta: Mapping[str, Any] = field.metadata
    default: Any = field.default
    if hasattr(default, "factory"):
        default = default.factory()
    return FieldDoc(
        path=path,
        owner=owner,
        type=_component_words(field.type) or type_words(field.type),
        doc=meta.get("doc") or "",
        default=None if default is attrs.NOTHING else flow(plain_values(default)),
        unit=meta.get("unit"),
        choices=tuple(map(str, meta.get("choices") or ())),
        minimum=meta.get("minimum"),
        maximum=meta.get("maximum"),
        resumable=bool(meta.get("resumable")),
        only_with=only_with_words(meta["only_with"]) if meta.get("only_with") else None,
    )


def _group(type_: Any) -> type | None:
    """The options class that a key holds (or null), None for any other key."""
    found = [one for one in (type_, *get_args(type_)) if attrs.has(one)]
    return found[0] if found and found[0] not in (ComponentChoice, Duration) else None


def _component_words(type_: Any) -> str | None:
    if type_ is ComponentChoice or (get_args(type_) and get_args(type_)[0] is ComponentChoice):
        return "a list of components" if get_origin(type_) is tuple else "a component"
    return None


def _split_keep(key: str) -> Iterator[str]:
    """The parts of a dotted path with the dots that join them."""
    for index, part in enumerate(key.split(".")):
        yield part if index == 0 else f".{part}"

"""Plain values into frozen attrs classes, strictly, with every mistake found in one pass.

Decisions: cattrs does the structuring, so options classes may use whatever it understands; nothing is coerced
except a whole number where a number is asked for; bounds and choices declared with `option` are checked field by
field, so that one class can report several; mistakes carry paths and are turned into errors by who knows places.
"""

from __future__ import annotations

import difflib
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import attrs
from cattrs import Converter
from cattrs.errors import (
    AttributeValidationNote,
    ClassValidationError,
    ForbiddenExtraKeysError,
    IterableValidationError,
)
from cattrs.gen import make_dict_structure_fn, override

from codex_core.duration import Duration
from codex_core.errors import CodexError, ConfigError
from codex_core.planning.configio import dotted

T = TypeVar("T")
E = TypeVar("E", bound=CodexError)

_WORDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
    type(None): "null",
    Path: "a path",
    Duration: "a duration such as '300 steps', '2 epochs' or '1e6 tokens'",
}


@attrs.frozen
class Mistake:
    """One thing wrong with a value: its dotted path, an error code, what, why and a fix."""

    path: str
    code: str
    what: str
    why: str | None = None
    fix: str | None = None

    def error(self, place: str) -> ConfigError:
        """The mistake as an error at a place such as `run.yaml:7`."""
        where = f"{place}, {self.path}" if self.path else place
        fix = self.fix or f"codex config explain '{self.path}'"
        return ConfigError(code=self.code, what=self.what, where=where, why=self.why, fix=fix)


class Misfit(ValueError):
    """A value does not have the asked-for shape; raised by structuring hooks."""

    def __init__(
        self, what: str, *, code: str = "CFG-005", why: str | None = None, fix: str | None = None
    ) -> None:
        super().__init__(what)
        self.code, self.why, self.fix = code, why, fix


def structure(cls: type[T], values: Any, path: str = "") -> tuple[T | None, list[Mistake]]:
    """An instance of `cls` and no mistakes, or None and all mistakes; `path` is where the values stand."""
    try:
        return CONVERTER.structure(values, cls), []
    except Exception as error:  # noqa: BLE001 -- options classes of plugins may raise anything from their checks
        return None, list(_mistakes(error, path))


def options_from(cls: type[T], values: Mapping[str, Any], *, where: str) -> T:
    """An options object from the plain values of a lock or checkpoint; raises `ConfigError` with all mistakes."""
    built, mistakes = structure(cls, dict(values))
    if built is None:
        raise together([mistake.error(where) for mistake in mistakes])
    return built


def together(errors: Sequence[E]) -> E:
    """The first of several errors, carrying the others as `related`."""
    first, *others = errors
    return placed(first, first.where, related=[*first.related, *others])


def placed(error: E, where: str | None, *, related: Sequence[CodexError] | None = None) -> E:
    """A copy of an error that says where, and what else was wrong."""
    return type(error)(
        code=error.code,
        what=error.what,
        where=where,
        why=error.why,
        fix=error.fix,
        related=error.related if related is None else related,
    )


def plain_values(value: Any) -> Any:
    """An options object (or anything within one) as values that JSON and YAML hold; durations become text."""
    if isinstance(value, Duration):
        return str(value)
    if hasattr(value, "as_written"):  # a value whose form in files is not its fields
        return plain_values(value.as_written())
    if attrs.has(type(value)):
        return {field.name: plain_values(getattr(value, field.name)) for field in init_fields(type(value))}
    if isinstance(value, Mapping):
        return {str(key): plain_values(item) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(map(plain_values, value))
    if isinstance(value, list | tuple):
        return [plain_values(item) for item in value]
    if isinstance(value, Enum):
        return plain_values(value.value)
    return value.as_posix() if isinstance(value, Path) else value


def flat(values: Any, path: str = "") -> dict[str, Any]:
    """Plain values by dotted path; a list of scalars is one value, and so is an empty mapping.

    >>> flat({"run": {"seed": 1}, "writers": [{"name": "csv"}]})
    {'run.seed': 1, 'writers[0].name': 'csv'}
    """
    steps: list[tuple[str, Any]] = []
    if isinstance(values, Mapping):
        steps = [(dotted(path, key), item) for key, item in values.items()]
    elif isinstance(values, list) and any(isinstance(item, Mapping | list) for item in values):
        steps = [(f"{path}[{index}]", item) for index, item in enumerate(values)]
    if not steps:
        return {path: values}
    return {name: value for step, item in steps for name, value in flat(item, step).items()}


def init_fields(cls: type) -> tuple[attrs.Attribute[Any], ...]:
    """The fields of an options class that a configuration may set, with types resolved."""
    attrs.resolve_types(cls)
    return tuple(field for field in attrs.fields(cls) if field.init and not field.metadata.get("internal"))


def near(word: str, names: Iterable[str]) -> str | None:
    """`did you mean 'x'?` for the closest names, None when nothing is close.

    >>> near("widht", ["width", "depth"])
    "did you mean 'width'?"
    """
    close = difflib.get_close_matches(word, list(names), n=2, cutoff=0.6)
    return f"did you mean {' or '.join(map(repr, close))}?" if close else None


def type_words(type_: Any) -> str:
    """A type in words, for messages and for the reference.

    >>> type_words(tuple[float, ...]), type_words(int | None)
    ('a list (each a number)', 'a whole number or null')
    """
    origin, arguments = get_origin(type_), get_args(type_)
    if type_ in _WORDS:
        return _WORDS[type_]
    if _is_union(type_):
        return " or ".join(map(type_words, arguments))
    if origin is Literal:
        return " or ".join(map(repr, arguments))
    if _is_list(type_):
        if origin is tuple and Ellipsis not in arguments:
            return f"a list of {len(arguments)} ({', '.join(map(type_words, arguments))})"
        return f"a list (each {type_words(arguments[0])})" if arguments else "a list"
    if _is_mapping(type_) or attrs.has(type_):
        return "a mapping"
    return str(getattr(type_, "__name__", type_))


def _mistakes(error: BaseException, path: str) -> Iterator[Mistake]:
    """Flatten what cattrs raised into mistakes with paths."""
    if isinstance(error, ClassValidationError | IterableValidationError):
        noted, plain = error.group_exceptions()
        for inner, note in noted:
            if isinstance(note, AttributeValidationNote):
                yield from _mistakes(inner, dotted(path, note.name))
            else:
                index: Any = note.index  # the note is a str with an attribute of the same name as str.index
                step = f"{path}[{index}]" if isinstance(index, int) else dotted(path, str(index))
                yield from _mistakes(inner, step)
        for inner in plain:
            yield from _mistakes(inner, path)
    elif isinstance(error, ForbiddenExtraKeysError):
        known = [field.name for field in init_fields(error.cl)]
        for key in sorted(error.extra_fields, key=str):
            yield unknown_key(dotted(path, str(key)), str(key), known)
    elif isinstance(error, KeyError):
        what = f"{path.rpartition('.')[2]!r} is required and not given"
        yield Mistake(path, "CFG-007", what, fix=f"add `{path}`")
    elif isinstance(error, Misfit):
        yield Mistake(path, error.code, str(error), error.why, error.fix)
    else:
        yield Mistake(path, "CFG-006", str(error) or type(error).__name__)


def unknown_key(path: str, key: str, known: Iterable[str]) -> Mistake:
    """A key that the place does not have, with the nearest that it has."""
    names = sorted(known)
    why = near(key, names) or (f"known here: {', '.join(names)}" if names else "nothing can be set here")
    return Mistake(path, "CFG-004", f"unknown key {key!r}", why=why, fix=f"correct or remove `{path}`")


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return f"text {value[:60]!r}"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else f"{value!r:.60}"


def _scalar_hook(wanted: type, accepts: tuple[type, ...]) -> Callable[[Any, Any], Any]:
    def hook(value: Any, _: Any) -> Any:
        if isinstance(value, accepts) and isinstance(value, bool) == (wanted is bool):
            return wanted(value)
        raise Misfit(f"expected {_WORDS[wanted]}, got {_shown(value)}", fix=_advice(wanted, value))

    return hook


def _advice(wanted: type, value: Any) -> str | None:
    """What to write instead, where it can be told."""
    if wanted is bool and isinstance(value, str) and value.lower() in ("yes", "no", "on", "off"):
        return f"write {'true' if value.lower() in ('yes', 'on') else 'false'}"
    if wanted is str and value is not None and not isinstance(value, list | dict):
        return f'put it in quotes: "{str(value).lower() if isinstance(value, bool) else value}"'
    if wanted is int and isinstance(value, float) and value.is_integer():
        return f"write {int(value)}"
    if wanted in (int, float) and isinstance(value, str) and value.replace("_", "").isdigit():
        return f"write {value.replace('_', '')}"
    return None


def _duration_hook(value: Any, _: Any) -> Duration:
    if not isinstance(value, str | int | float | Duration):
        raise Misfit(f"expected {_WORDS[Duration]}, got {_shown(value)}")
    return Duration.parse(value)


def _class_hook(cls: type) -> Callable[[Any, Any], Any]:
    overrides = {field.name: override(omit=True) for field in attrs.fields(cls)}
    overrides |= {field.name: override(struct_hook=_field_hook(field)) for field in init_fields(cls)}
    build: Callable[[Any, Any], Any] = make_dict_structure_fn(
        cls,
        CONVERTER,
        _cattrs_forbid_extra_keys=True,
        _cattrs_detailed_validation=True,
        **overrides,  # type: ignore[arg-type]  # the signature has other keywords; these are field names
    )

    def hook(value: Any, type_: Any) -> Any:
        if isinstance(value, cls):
            return value
        if not isinstance(value, Mapping):
            raise Misfit(f"expected a mapping, got {_shown(value)}")
        return build(value, type_)

    return hook


def _field_hook(field: attrs.Attribute[Any]) -> Callable[[Any, Any], Any]:
    def hook(value: Any, type_: Any) -> Any:
        _check_shape(value, type_)
        built = CONVERTER.structure(value, type_)
        if "doc" in field.metadata and field.validator is not None:  # made by `option`: needs no instance
            _check_choice(built, field)
            field.validator(None, field, built)
        return built

    return hook


def _check_choice(value: Any, field: attrs.Attribute[Any]) -> None:
    choices = field.metadata.get("choices")
    if choices and value is not None and value not in choices:
        what = f"{field.name} must be one of {', '.join(map(str, choices))}; got {value!r:.60}"
        raise Misfit(what, code="CFG-006", why=near(str(value), map(str, choices)))


def _check_shape(value: Any, type_: Any) -> None:
    """Refuse text where a list is asked for (cattrs would take its characters), at every depth."""
    if _is_list(type_):
        if not isinstance(value, list | tuple):
            raise Misfit(f"expected {type_words(type_)}, got {_shown(value)}", fix="write a list: [...]")
        inner = [argument for argument in get_args(type_) if argument is not Ellipsis]
        if get_origin(type_) is tuple and Ellipsis not in get_args(type_) and len(inner) != len(value):
            raise Misfit(f"expected {type_words(type_)}, got {len(value)} values")
        for item in value if len(inner) == 1 else ():
            _check_shape(item, inner[0])
    elif _is_mapping(type_) and not isinstance(value, Mapping):
        raise Misfit(f"expected a mapping, got {_shown(value)}")


def _is_list(type_: Any) -> bool:
    origin = get_origin(type_) or type_
    return isinstance(origin, type) and issubclass(origin, list | tuple | set | frozenset)


def _is_mapping(type_: Any) -> bool:
    origin = get_origin(type_) or type_
    return isinstance(origin, type) and issubclass(origin, Mapping | dict)


def _is_union(type_: Any) -> bool:
    return get_origin(type_) is Union or isinstance(type_, types.UnionType)


def _union_hook(type_: Any) -> Callable[[Any, Any], Any]:
    members = sorted(get_args(type_), key=lambda member: member is not type(None))

    def hook(value: Any, _: Any) -> Any:
        if value is None and type(None) in members:
            return None
        failures = []
        for member in members[1:] if type(None) in members else members:
            try:
                _check_shape(value, member)
                return CONVERTER.structure(value, member)
            except (ValueError, ClassValidationError, IterableValidationError) as error:
                failures.append(error)
        if len(failures) == 1:
            raise failures[0]
        raise Misfit(f"expected {type_words(type_)}, got {_shown(value)}")

    return hook


def _converter() -> Converter:
    converter = Converter(forbid_extra_keys=True, detailed_validation=True)
    converter.register_structure_hook_factory(attrs.has, _class_hook)
    converter.register_structure_hook_factory(_is_union, _union_hook)
    for wanted, accepts in {
        int: (int,),
        float: (int, float),
        str: (str,),
        bool: (bool,),
        Path: (str,),
    }.items():
        converter.register_structure_hook(wanted, _scalar_hook(wanted, accepts))
    converter.register_structure_hook(Duration, _duration_hook)
    return converter


#: The one converter; sections with a form of their own register a hook here.
CONVERTER = _converter()

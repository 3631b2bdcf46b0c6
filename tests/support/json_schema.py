"""The part of JSON Schema (draft 2020-12) that our schemas use, so that tests need no library for it.

Decision: a keyword that is not known here is an error and not ignored, so a schema cannot pass by saying more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
_SILENT = {"$schema", "$defs", "$id", "title", "description", "default"}


def mistakes(
    value: Any, schema: Mapping[str, Any], *, root: Mapping[str, Any], path: str = "$"
) -> Iterator[str]:
    """Everything about `value` that the schema forbids, one line each; raises `ValueError` for unknown keywords."""
    for keyword, said in schema.items():
        if keyword in _SILENT:
            continue
        if keyword not in _CHECKS:
            raise ValueError(f"{path}: the keyword {keyword!r} is not known here")
        yield from _CHECKS[keyword](value, said, schema, root, path)


def _type(value: Any, said: Any, schema: Any, root: Any, path: str) -> Iterator[str]:
    names = [said] if isinstance(said, str) else said
    is_truth = isinstance(value, bool)
    if not any(isinstance(value, _TYPES[name]) and is_truth == (name == "boolean") for name in names):
        yield f"{path}: {value!r} is no {' or '.join(names)}"


def _any_of(value: Any, said: Any, schema: Any, root: Any, path: str) -> Iterator[str]:
    found = [list(mistakes(value, option, root=root, path=path)) for option in said]
    if all(found):
        yield f"{path}: none of {len(said)} forms fits: {min(found, key=len)}"


def _properties(value: Any, said: Any, schema: Any, root: Any, path: str) -> Iterator[str]:
    for name in said.keys() & value.keys() if isinstance(value, dict) else ():
        yield from mistakes(value[name], said[name], root=root, path=f"{path}.{name}")


def _additional(value: Any, said: Any, schema: Any, root: Any, path: str) -> Iterator[str]:
    for name in value.keys() - schema.get("properties", {}).keys() if isinstance(value, dict) else ():
        if said is False:
            yield f"{path}: {name!r} is not allowed"
        else:
            yield from mistakes(value[name], said, root=root, path=f"{path}.{name}")


def _items(value: Any, said: Any, schema: Any, root: Any, path: str) -> Iterator[str]:
    for index, item in enumerate(value if isinstance(value, list) else ()):
        yield from mistakes(item, said, root=root, path=f"{path}[{index}]")


def _reference(value: Any, said: Any, schema: Any, root: Any, path: str) -> Iterator[str]:
    held: Any = root
    for step in said.removeprefix("#/").split("/"):
        held = held[step]
    yield from mistakes(value, held, root=root, path=path)


def _negated(value: Any, said: Any, schema: Any, root: Any, path: str) -> Iterator[str]:
    if not list(mistakes(value, said, root=root, path=path)):
        yield f"{path}: has the form that is excluded"


def _required(value: Any, said: Any, schema: Any, root: Any, path: str) -> Iterator[str]:
    missing = [name for name in said if isinstance(value, dict) and name not in value]
    yield from (f"{path}: {name!r} is missing" for name in missing)


def _simple(value: Any, said: Any, schema: Any, root: Any, path: str, *, is_wrong: Any) -> Iterator[str]:
    if is_wrong(value, said):
        yield f"{path}: {value!r} against {said!r}"


def _check(is_wrong: Any) -> Any:
    return lambda *given: _simple(*given, is_wrong=is_wrong)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_CHECKS: dict[str, Any] = {
    "type": _type,
    "anyOf": _any_of,
    "not": _negated,
    "$ref": _reference,
    "properties": _properties,
    "additionalProperties": _additional,
    "items": _items,
    "required": _required,
    "enum": _check(lambda value, said: value not in said),
    "const": _check(lambda value, said: value != said),
    "minimum": _check(lambda value, said: _is_number(value) and value < said),
    "maximum": _check(lambda value, said: _is_number(value) and value > said),
    "minLength": _check(lambda value, said: isinstance(value, str) and len(value) < said),
    "pattern": _check(lambda value, said: isinstance(value, str) and re.search(said, value) is None),
}

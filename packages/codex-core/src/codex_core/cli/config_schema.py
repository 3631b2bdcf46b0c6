"""A JSON Schema of configuration files, which editors use to complete and to check while typing.

Decision: a file that extends another may hold anything less than the whole, so what is required (sections, their
keys, the names of components) is required of files without `extends` only; items of lists are always whole.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

import attrs

from codex_core.config import RunConfig
from codex_core.duration import UNITS, Duration
from codex_core.planning.sections import COMPONENT_KINDS, COMPONENT_LISTS, NO_SAFETY, ComponentChoice
from codex_core.planning.structuring import init_fields

if TYPE_CHECKING:
    from codex_core.registry import Registry


def json_schema(registry: Registry) -> dict[str, Any]:
    """A JSON Schema (draft 2020-12) of configuration files for editors, with the options of what is installed."""
    choices: dict[str, Any] = {}
    for kind in sorted({*COMPONENT_KINDS.values(), *COMPONENT_LISTS.values()}):
        forms: list[dict[str, Any]] = [{"type": "string"}]
        for row in registry.rows:
            if row.kind == kind and row.state == "ok":
                cls = registry.options_class(row) if row.options else None
                forms.append(_component_schema(row.name, row.id, row.summary, cls))
        if kind == "safety_policies":
            reason = {"name": {"const": NO_SAFETY}, "reason": {"type": "string", "minLength": 1}}
            forms.append({"type": "object", "properties": reason, "required": ["name", "reason"]})
        choices[kind] = {"anyOf": forms}
    schema = _class_schema(RunConfig)
    schema["properties"]["extends"] = {
        "type": "string",
        "description": "a file or preset that this one builds on",
    }
    for section, kind in COMPONENT_KINDS.items():
        schema["properties"][section] = {"anyOf": [{"$ref": f"#/$defs/{kind}"}, _NAMELESS]}
    for place, kind in COMPONENT_LISTS.items():
        holder = schema["properties"]
        for step in place.split(".")[:-1]:
            holder = holder[step]["properties"]
        holder[place.rpartition(".")[2]]["items"] = {"$ref": f"#/$defs/{kind}"}
    schema["anyOf"] = [{"required": ["extends"]}, _whole(schema)]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "$defs": choices}


#: Options over those of a component that the extended file names.
_NAMELESS = {"type": "object", "not": {"required": ["name"]}}


def _whole(schema: dict[str, Any]) -> dict[str, Any]:
    """What a file without `extends` holds; takes the demands of sections out of `schema`."""
    demands = {
        name: {"required": shape.pop("required")}
        for name, shape in schema["properties"].items()
        if "required" in shape
    }
    named = {"anyOf": [{"type": ["string", "null"]}, {"required": ["name"]}]}
    demands |= dict.fromkeys(COMPONENT_KINDS, named)
    return {"required": schema.pop("required"), "properties": demands}


def _component_schema(name: str, id: str, summary: str, cls: type | None) -> dict[str, Any]:
    schema: dict[str, Any] = (
        _class_schema(cls) if cls else {"type": "object", "properties": {}, "additionalProperties": False}
    )
    schema["properties"] = {"name": {"enum": [name, id], "description": summary}, **schema["properties"]}
    schema["required"] = ["name", *schema.get("required", [])]
    return schema


def _class_schema(cls: type) -> dict[str, Any]:
    properties = {}
    for field in init_fields(cls):
        meta: Mapping[str, Any] = field.metadata
        described = {
            "description": meta.get("doc"),
            "minimum": meta.get("minimum"),
            "maximum": meta.get("maximum"),
        }
        choices = meta.get("choices")
        shape: dict[str, Any] = _type_schema(field.type)
        if choices:
            may_be_null = {"type": "null"} in shape.get("anyOf", ())
            shape["enum"] = [*choices, None] if may_be_null else list(choices)
        properties[field.name] = shape | {key: value for key, value in described.items() if value is not None}
    required = [field.name for field in init_fields(cls) if field.default is attrs.NOTHING]
    schema: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**schema, "required": required} if required else schema


def _type_schema(type_: Any) -> dict[str, Any]:
    origin, arguments = get_origin(type_), [item for item in get_args(type_) if item is not Ellipsis]
    if origin is Union or isinstance(type_, types.UnionType):
        return {"anyOf": [_type_schema(argument) for argument in arguments]}
    if origin is Literal:
        return {"enum": arguments}
    if type_ is Duration:
        pattern = rf"^\s*[0-9][0-9_.eE+-]*\s*({'|'.join(f'{unit}?' for unit in UNITS)})?\s*$"
        return {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": pattern}]}
    if origin in (tuple, list, frozenset, set):
        return {"type": "array", "items": _type_schema(arguments[0])}
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": _type_schema(arguments[1])}
    if type_ is ComponentChoice:
        return {}
    if attrs.has(type_):
        return _class_schema(type_)
    names = {int: "integer", float: "number", str: "string", bool: "boolean", type(None): "null"}
    return {"type": names[type_]} if type_ in names else {}

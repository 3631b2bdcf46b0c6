"""What a configuration builds on: `extends:` names a file or a preset whose values hold unless written anew.

Decisions: mappings merge key by key, everything else is replaced whole; a component that changes its name does not
inherit the options of the former one; a preset is a YAML file in the folder `presets` of an installed package that
offers plugins, found without importing the package; a name without `/` and `.yaml` is a preset, the rest are files
beside the file that names them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path

import attrs

from codex_core.errors import ConfigError, InputError
from codex_core.planning.configio import Node, read
from codex_core.planning.structuring import near
from codex_core.planning.versions import upgraded

MAX_LAYERS = 8

#: Sections that hold one component: their options belong to the name beside them.
COMPONENT_SECTIONS = ("tokenizer", "model", "trainer", "safety")

FindPresets = Callable[[], Mapping[str, Path]]


@attrs.frozen
class Layers:
    """What files and presets say together, and what their authors should know (`notices`)."""

    root: Node
    notices: tuple[str, ...] = ()


def read_layers(path: Path, find_presets: FindPresets) -> Layers:
    """The file at `path` over everything that it extends."""
    return _extended(_read_mapping(path), path, find_presets, seen=(path.resolve(),))


def read_preset(name: str, find_presets: FindPresets) -> Layers:
    """A named preset over everything that it extends; raises `ConfigError` with the names that exist."""
    return read_layers(preset_path(name, where="command line", presets=find_presets()), find_presets)


def installed_presets() -> dict[str, Path]:
    """Presets of all installed packages that offer plugins, by name; the core's own win over equal names."""
    from importlib_metadata import entry_points

    modules = {entry.value.partition(":")[0].strip() for entry in entry_points(group="codex.plugins")}
    packages = sorted({module.partition(".")[0] for module in modules} - {"codex_core"})
    found: dict[str, Path] = {}
    for package in ["codex_core", *packages]:
        spec = find_spec(package)
        for folder in spec.submodule_search_locations or () if spec else ():
            for path in sorted(Path(folder, "presets").glob("*.yaml")):
                found.setdefault(path.stem, path)
    return found


def merge(below: Node, above: Node, *, path: str = "") -> Node:
    """`above` laid over `below`: mappings key by key, the rest replaced."""
    if path in COMPONENT_SECTIONS and isinstance(below.value, str):
        below = Node({"name": below}, below.origin)  # `model: decoder` is short for `model: {name: decoder}`
    if not (isinstance(below.value, dict) and isinstance(above.value, dict)):
        return above
    if path in COMPONENT_SECTIONS and _changes_name(below.value, above.value):
        return above
    merged = dict(below.value)
    for key, value in above.value.items():
        inner = f"{path}.{key}" if path else key
        merged[key] = merge(merged[key], value, path=inner) if key in merged else value
    return Node(merged, above.origin)


def _extended(layer: Layers, path: Path, find_presets: FindPresets, *, seen: tuple[Path, ...]) -> Layers:
    node = layer.root
    assert isinstance(node.value, dict)
    entries = dict(node.value)
    base = entries.pop("extends", None)
    if base is None:
        return layer
    below_path = _base_path(base, path, find_presets)
    if below_path.resolve() in seen or len(seen) >= MAX_LAYERS:
        chain = " -> ".join(step.name for step in (*seen, below_path))
        raise _bad_extends(base.origin, f"{chain} goes in a circle or is longer than {MAX_LAYERS}")
    try:
        below = _read_mapping(below_path)
    except InputError as error:
        raise InputError(
            code=error.code,
            what=error.what,
            where=f"{base.origin}, extends",
            why=error.why,
            fix="correct `extends`",
        ) from None
    below = _extended(below, below_path, find_presets, seen=(*seen, below_path.resolve()))
    return Layers(merge(below.root, attrs.evolve(node, value=entries)), (*below.notices, *layer.notices))


def _base_path(base: Node, path: Path, find_presets: FindPresets) -> Path:
    if not isinstance(base.value, str):
        raise _bad_extends(base.origin, "it holds one text: the name of a preset, or a file")
    if "/" in base.value or base.value.endswith((".yaml", ".yml")):
        return path.parent / base.value
    return preset_path(base.value, where=f"{base.origin}, extends", presets=find_presets())


def preset_path(name: str, *, where: str, presets: Mapping[str, Path]) -> Path:
    """The file of a preset; raises `ConfigError` with near names and all names."""
    if name in presets:
        return presets[name]
    known = f"installed presets: {', '.join(sorted(presets)) or 'none'}"
    why = "; ".join(filter(None, (near(name, presets), known)))
    raise ConfigError(
        code="CFG-010",
        what=f"no preset is named {name!r}",
        where=where,
        why=why,
        fix="name an installed preset, or a file (with `/` or ending in .yaml)",
    )


def _read_mapping(path: Path) -> Layers:
    """One file in the present version of the format."""
    node = read(path)
    if isinstance(node.value, dict):
        node, notices = upgraded(node, source=str(path))
        return Layers(node, tuple(notices))
    raise ConfigError(
        code="CFG-005",
        what="a configuration is a mapping of sections",
        where=node.origin,
        fix="start with `data:`; `codex config init` writes one",
    )


def _changes_name(below: dict[str, Node], above: dict[str, Node]) -> bool:
    names = [str(entries["name"].value).rpartition("/")[2] for entries in (below, above) if "name" in entries]
    return len(names) == 2 and names[0] != names[1]


def _bad_extends(where: str, why: str) -> ConfigError:
    return ConfigError(
        code="CFG-010",
        what="`extends` cannot be followed",
        where=f"{where}, extends",
        why=why,
        fix="name a file beside this one, or a preset",
    )

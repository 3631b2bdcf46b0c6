"""Changes to a configuration from the command line, in the manner of Hydra.

Decisions: an override edits what is written before anything is checked, so it gets the same checks as a file.

    trainer.lr=1e-4             set a value; the value is a YAML scalar, `[...]`, `{...}` or quoted text
    model=decoder               choose a component anew: options of the former one are dropped
    model.name=decoder          change the name alone and keep the options
    data.sources[0].topics=true set a value within a list
    +data.sources={name: text}  append to a list
    +trainer.warmup=10          set a value that is not written yet (refused where one is)
    ~trainer.warmup             remove what is written: the default holds again

A key that holds dots is quoted: `plugins.pins["models/my.net"]=my-dist`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from codex_core.errors import ConfigError
from codex_core.planning.configio import Node, located, parse, plain, plain_scalar
from codex_core.planning.structuring import near

_STEP = re.compile(r"""(?:^|\.)([^.\[\]=\s"'+~]+)|\[([0-9]+)\]|\["([^"]+)"\]|\['([^']+)'\]""")

Steps = tuple[str | int, ...]


@attrs.frozen
class Override:
    """One change: `action` is `set`, `add` or `remove`, `steps` the path, `text` what the user wrote."""

    action: str
    steps: Steps
    value: Any
    text: str

    @property
    def origin(self) -> str:
        """How the override is named where values tell their origin."""
        return f"override {self.text}"


def parse_override(text: str) -> Override:
    """Read one override; raises `ConfigError` with the grammar.

    >>> parse_override("data.sources[0].topics=true").steps
    ('data', 'sources', 0, 'topics')
    """
    if text.startswith("~"):
        if "=" in text:
            raise _unreadable(text, "a removal has no value", f"~{text[1:].partition('=')[0]}")
        return Override("remove", _steps(text[1:], text), None, text)
    match = re.match(r"""(\+?)((?:[^=\["']|\[[^\]]*\])+)=(.*)""", text, re.DOTALL)
    if match is None:
        raise _unreadable(text, "no `=` after the name", f"{text}=VALUE")
    plus, path, value = match.groups()
    return Override("add" if plus else "set", _steps(path, text), _value(value.strip(), text), text)


def apply(
    root: Node, overrides: Iterable[Override], *, lists: Mapping[Steps, list[Any]]
) -> tuple[Node, list[ConfigError]]:
    """The configuration with the overrides made in order, and the mistakes of those that could not be made.

    `lists` are the places that hold lists, with their defaults: what `+` appends to when nothing is written.
    """
    mistakes = []
    for override in overrides:
        try:
            if override.action == "add" and override.steps in lists and _find(root, override.steps) is None:
                override = attrs.evolve(
                    override, action="set", value=[*lists[override.steps], override.value]
                )
            root = _edit(root, override.steps, override)
        except ConfigError as error:
            mistakes.append(error)
    return root, mistakes


def _find(node: Node | None, steps: Steps) -> Node | None:
    for step in steps:
        node = node.value.get(str(step)) if node and isinstance(node.value, dict) else None
    return node


def _edit(node: Node, steps: Steps, override: Override) -> Node:
    """A copy of `node` with the change made at `steps` below it."""
    step, rest = steps[0], steps[1:]
    if isinstance(step, int):
        return _edit_list(node, step, rest, override)
    if isinstance(node.value, str) and not rest and step == "name":
        node = Node({}, node.origin)  # `model: decoder` is short for `model: {name: decoder}`
    elif isinstance(node.value, str):
        node = Node({"name": node}, node.origin)
    elif node.value is None:
        node = Node({}, node.origin)  # `lora: null` holds nothing that could be in the way
    if not isinstance(node.value, dict):
        hint = "; elements are named by [0], counted from 0" if isinstance(node.value, list) else ""
        raise _misplaced(override, f"{step!r} is asked of {_kind(node)} written at {node.origin}{hint}")
    entries = dict(node.value)
    if rest:
        if step not in entries and override.action == "remove":
            raise _absent(override, step, entries)
        below = entries.get(step, Node([] if isinstance(rest[0], int) else {}, override.origin))
        entries[step] = _edit(below, rest, override)
    elif override.action == "remove":
        if step not in entries:
            raise _absent(override, step, entries)
        del entries[step]
    else:
        entries[step] = _written(entries.get(step), override)
    return Node(entries, node.origin)


def _edit_list(node: Node, index: int, rest: Steps, override: Override) -> Node:
    if not isinstance(node.value, list):
        raise _misplaced(override, f"[{index}] is asked of {_kind(node)} written at {node.origin}")
    items = list(node.value)
    if index >= len(items):
        held = f"the list holds {len(items)}, counted from 0"
        raise _misplaced(override, f"there is no element [{index}]: {held}; `+list=VALUE` appends")
    if rest:
        items[index] = _edit(items[index], rest, override)
    elif override.action == "remove":
        del items[index]
    elif override.action == "add":
        raise _misplaced(override, f"element [{index}] is written already at {items[index].origin}")
    else:
        items[index] = located(override.value, override.origin)
    return Node(items, node.origin)


def _written(before: Node | None, override: Override) -> Node:
    """The node that a set or an add leaves at its place."""
    value = located(override.value, override.origin)
    if override.action == "set" or before is None:
        return value
    if isinstance(before.value, list):
        return Node([*before.value, value], before.origin)
    raise _misplaced(override, f"a value is written already at {before.origin}; without `+` it is replaced")


def _steps(path: str, text: str) -> Steps:
    steps: list[str | int] = []
    position = 0
    while position < len(path):
        match = _STEP.match(path, position)
        if match is None:
            raise _unreadable(text, f"the name {path!r} cannot be read from character {position + 1}")
        name, index, double, single = match.groups()
        steps.append(int(index) if index is not None else name or double or single)
        position = match.end()
    if not steps or isinstance(steps[0], int) or path.startswith("."):
        raise _unreadable(text, "no name before the value")
    return tuple(steps)


def _value(text: str, override: str) -> Any:
    if not text:
        raise _unreadable(
            override, "no value after `=`", f"{override.strip()}null, or {override.strip()}'' for no text"
        )
    if text[0] in "[{\"'":
        try:
            return plain(parse(text, source=f"override {override}"))
        except ConfigError as error:
            raise _unreadable(override, error.why or error.what) from None
    try:
        return plain_scalar(text)
    except ValueError as error:
        raise _unreadable(override, f"it holds {error}") from None


def _kind(node: Node) -> str:
    return (
        "a list"
        if isinstance(node.value, list)
        else "a mapping"
        if isinstance(node.value, dict)
        else "a value"
    )


def _unreadable(text: str, why: str, fix: str = "write NAME=VALUE, +NAME=VALUE or ~NAME") -> ConfigError:
    return ConfigError(
        code="CFG-008", what=f"cannot read the override {text!r}", where="command line", why=why, fix=fix
    )


def _misplaced(override: Override, why: str) -> ConfigError:
    return ConfigError(
        code="CFG-009",
        what=f"the override {override.text!r} does not fit the configuration",
        where="command line",
        why=why,
        fix="codex config show FILE --origin",
    )


def _absent(override: Override, step: str, entries: Iterable[str]) -> ConfigError:
    return _misplaced(
        override, f"nothing is written at {step!r}; {near(step, entries) or 'the default holds already'}"
    )

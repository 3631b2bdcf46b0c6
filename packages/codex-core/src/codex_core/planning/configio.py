"""Configuration text in: YAML 1.2 with the place of every value.

Decisions: the core schema alone, so `1e-3` is a number and `yes` is text; no anchors, aliases, tags, directives
or second documents, because a configuration that needs them is better said with `extends`; small limits on size,
depth and count, so that hostile input is refused at the first offence; a key stands once.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    DocumentStartEvent,
    Event,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from codex_core.errors import ConfigError, InputError

#: Limits on one configuration file: far above what people write, far below what slows a reader down.
MAX_BYTES = 64 * 1024
MAX_DEPTH = 24
MAX_NODES = 4_000  # read in 0.1 s; a YAML scanner in Python takes 25 us a value

Scalar = str | int | float | bool | None

_NULL = {"", "~", "null", "Null", "NULL"}
_TRUE = {"true", "True", "TRUE"}
_FALSE = {"false", "False", "FALSE"}
_INT = re.compile(r"[-+]?[0-9]{1,40}|0o[0-7]{1,40}|0x[0-9a-fA-F]{1,40}")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_BRACKET = re.compile(r"[\[\]{}]")
_INFINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


@attrs.frozen
class Node:
    """A value and where it was written: mappings hold nodes by key, lists hold nodes, the rest are scalars."""

    value: dict[str, Node] | list[Node] | Scalar
    origin: str


def read(path: Path) -> Node:
    """The configuration file at `path`; raises `InputError` when it cannot be read, `ConfigError` for its text."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(
            code="CFG-001",
            what=f"cannot read the configuration {path}",
            where=str(path),
            why=error.strerror or str(error),
            fix="codex config init -o run.yaml",
        ) from None
    try:
        text = data[:MAX_BYTES].decode("utf-8-sig", errors="strict" if len(data) <= MAX_BYTES else "ignore")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _syntax(f"{path}:{line}", "the file is not UTF-8 text") from None
    if len(data) > MAX_BYTES:
        raise _refused(f"{path}:1", f"more than {MAX_BYTES // 1024} KiB of configuration")
    return parse(text, source=str(path))


def parse(text: str, *, source: str) -> Node:
    """YAML text as located values; `source` names it in errors. Empty text is an empty mapping."""
    if len(text) > MAX_BYTES:
        raise _refused(f"{source}:1", f"more than {MAX_BYTES // 1024} KiB of configuration")
    _refuse_deep_brackets(text, source)
    return _Reader(source).document(text)


def _refuse_deep_brackets(text: str, source: str) -> None:
    """Nested flow collections are counted first: a YAML scanner takes 0.3 s over a thousand open brackets."""
    depth = 0
    for match in _BRACKET.finditer(text):
        depth = depth + 1 if match[0] in "[{" else max(0, depth - 1)
        if depth > MAX_DEPTH:
            line = text.count("\n", 0, match.start()) + 1
            raise _refused(f"{source}:{line}", f"nesting deeper than {MAX_DEPTH}")


def located(value: Any, origin: str) -> Node:
    """Plain values as nodes that all come from one origin."""
    if isinstance(value, Mapping):
        return Node({str(key): located(item, origin) for key, item in value.items()}, origin)
    if isinstance(value, list | tuple):
        return Node([located(item, origin) for item in value], origin)
    return Node(value, origin)


def plain(node: Node) -> Any:
    """The values of a node without their places."""
    if isinstance(node.value, dict):
        return {key: plain(item) for key, item in node.value.items()}
    if isinstance(node.value, list):
        return [plain(item) for item in node.value]
    return node.value


def origins(node: Node, path: str = "") -> dict[str, str]:
    """Where each value was written, containers included, by dotted path (`data.sources[0].name`)."""
    found = {path: node.origin}
    if isinstance(node.value, dict):
        for key, item in node.value.items():
            found |= origins(item, dotted(path, key))
    elif isinstance(node.value, list):
        for index, item in enumerate(node.value):
            found |= origins(item, f"{path}[{index}]")
    return found


def dotted(path: str, key: str) -> str:
    """The path of `key` below `path`; a key that holds dots or brackets is quoted.

    >>> dotted("plugins.pins", "models/my.net")
    'plugins.pins["models/my.net"]'
    """
    if re.fullmatch(r"[^.\[\]=\s\"']+", key) is None:
        return f'{path}["{key}"]'
    return f"{path}.{key}" if path else key


def plain_scalar(text: str) -> Scalar:
    """What an unquoted YAML 1.2 scalar stands for.

    >>> plain_scalar("1e-3"), plain_scalar("yes"), plain_scalar("0x10"), plain_scalar("~")
    (0.001, 'yes', 16, None)
    """
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if _INT.fullmatch(text):  # at most 40 digits: more are a float, and Python refuses to read thousands
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    if _FLOAT.fullmatch(text):
        number = float(text)
        if math.isinf(number):
            raise ValueError(f"the number {text:.20}, which is not finite")
        return number
    if _INFINITE.fullmatch(text):
        raise ValueError(f"the number {text:.20}, which is not finite")
    return text


class _Reader:
    """Builds nodes from YAML events and stops at the first thing that a configuration may not contain."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.num_nodes = 0

    def document(self, text: str) -> Node:
        try:
            events = self._content(YAML(typ="safe", pure=True).parse(text))
            first = next(events, None)
            node = Node({}, f"{self.source}:1") if first is None else self._node(first, events, depth=0)
            for _ in events:
                pass
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            place = self.source if mark is None else f"{self.source}:{mark.line + 1}:{mark.column + 1}"
            raise _syntax(place, error.problem or error.context or "not YAML") from None
        except YAMLError as error:
            line = text.count("\n", 0, getattr(error, "position", 0)) + 1
            raise _syntax(f"{self.source}:{line}", str(error).splitlines()[0]) from None
        except (ValueError, OverflowError) as error:  # an escape such as "\UFFFFFFFF" that is no character
            raise _syntax(self.source, str(error)) from None
        return node if node.value is not None else Node({}, node.origin)

    def _content(self, events: Iterator[Event]) -> Iterator[Event]:
        """The events of the one document, without the stream's frame."""
        num_documents = 0
        for event in events:
            if isinstance(event, DocumentStartEvent):
                num_documents += 1
                if num_documents > 1:
                    raise _refused(self._place(event), "a second document in one file")
                if event.tags or event.version not in (None, (1, 2)):
                    raise _refused(self._place(event), "a YAML directive")
            elif isinstance(event, NodeEvent | CollectionEndEvent):
                yield event
            elif isinstance(event, StreamEndEvent):
                return

    def _node(self, event: Event, events: Iterator[Event], *, depth: int) -> Node:
        self.num_nodes += 1
        place = self._place(event)
        if self.num_nodes > MAX_NODES:
            raise _refused(place, f"more than {MAX_NODES} values")
        if depth > MAX_DEPTH:
            raise _refused(place, f"nesting deeper than {MAX_DEPTH}")
        if isinstance(event, AliasEvent) or getattr(event, "anchor", None):
            raise _refused(place, "an anchor or alias", "write the value out, or share it with `extends:`")
        if getattr(event, "tag", None) or getattr(event, "ctag", None):
            raise _refused(place, "a tag", "remove the `!...`; values have plain types")
        if isinstance(event, ScalarEvent):
            return Node(self._scalar(event), place)
        if isinstance(event, SequenceStartEvent):
            return Node(self._items(events, depth=depth + 1), place)
        assert isinstance(event, MappingStartEvent), event
        return Node(self._pairs(events, depth=depth + 1), place)

    def _scalar(self, event: ScalarEvent) -> Scalar:
        if _LONE_SURROGATE.search(event.value):
            raise _refused(
                self._place(event), "an escape that is no Unicode character", "write the character itself"
            )
        if event.style is not None:
            return str(event.value)
        try:
            return plain_scalar(event.value)
        except ValueError as error:
            raise _refused(self._place(event), str(error), "write a finite number") from None

    def _items(self, events: Iterator[Event], *, depth: int) -> list[Node]:
        items = []
        while not isinstance(event := next(events), CollectionEndEvent):
            items.append(self._node(event, events, depth=depth))
        return items

    def _pairs(self, events: Iterator[Event], *, depth: int) -> dict[str, Node]:
        pairs: dict[str, Node] = {}
        while not isinstance(event := next(events), CollectionEndEvent):
            key = self._node(event, events, depth=depth)
            if not isinstance(event, ScalarEvent) or not event.value:
                raise _refused(key.origin, "a key that is not plain text")
            if event.value in pairs:
                raise _refused(
                    key.origin,
                    f"the key {event.value!r} twice",
                    f"keep one of the two; the first stands at {pairs[event.value].origin}",
                )
            value = self._node(next(events), events, depth=depth)
            # A container starts where its key stands: that is where a reader looks for it.
            pairs[event.value] = attrs.evolve(value, origin=key.origin)
        return pairs

    def _place(self, event: Event) -> str:
        return f"{self.source}:{event.start_mark.line + 1}"


def _syntax(where: str, why: str) -> ConfigError:
    return ConfigError(
        code="CFG-002",
        what="the configuration is not valid YAML",
        where=where,
        why=" ".join(why.split()),
        fix="correct the text at that place; quote values that hold ': ', ' #' or start with a sign",
    )


def _refused(where: str, what: str, fix: str = "remove it") -> ConfigError:
    return ConfigError(
        code="CFG-003",
        what=f"the configuration holds {what}",
        where=where,
        why="allowed is plain YAML 1.2: mappings, lists, text, finite numbers, true, false, null",
        fix=fix,
    )

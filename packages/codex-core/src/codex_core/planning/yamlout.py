"""Plain values as YAML 1.2 text that `configio.parse` reads back equal.

Decisions: blocks for what has structure, one line for lists of scalars; text stands bare where that is safe, else
in double quotes with everything unprintable escaped; floats keep every digit; the order is the caller's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from codex_core.planning.configio import plain_scalar

#: Text here, but truth values to readers of YAML 1.1.
_TRUTH_ELSEWHERE = {"y", "n", "yes", "no", "on", "off"}

_SAFE_PLAIN = re.compile(r"[A-Za-z0-9_./][A-Za-z0-9_./+@%-]*(?: [A-Za-z0-9_./+@%-]+)*")


def write(values: Mapping[str, Any]) -> str:
    """Plain values as YAML that `parse` reads back equal, in the order given.

    >>> print(write({"trainer": {"name": "torch", "lr": 1e-3}, "split": [0.9, 0.1]}), end="")
    trainer:
      name: torch
      lr: 0.001
    split: [0.9, 0.1]
    """
    return "".join(f"{line}\n" for line in _block(values)) or "{}\n"


def _block(value: Any) -> Iterator[str]:
    """Lines of a non-empty mapping, or of a list that holds containers."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if _is_block(item):
                yield f"{_quoted(key)}:"
                yield from (f"  {line}" for line in _block(item))
            else:
                yield f"{_quoted(key)}: {flow(item)}"
        return
    for item in value:
        for index, line in enumerate(_block(item) if _is_block(item) else [flow(item)]):
            yield f"- {line}" if index == 0 else f"  {line}"


def _is_block(value: Any) -> bool:
    if isinstance(value, Mapping):
        return bool(value)
    return isinstance(value, list | tuple) and any(isinstance(item, Mapping | list | tuple) for item in value)


def flow(value: Any) -> str:
    """A value on one line.

    >>> flow({"a": [1, "b: c"]})
    '{a: [1, "b: c"]}'
    """
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_quoted(key)}: {flow(item)}' for key, item in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(flow, value))}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return _quoted(value) if isinstance(value, str) else repr(value)


def _quoted(text: str) -> str:
    """Text as it is where that is safe, else in double quotes with everything unprintable escaped."""
    if _SAFE_PLAIN.fullmatch(text) and text.lower() not in _TRUTH_ELSEWHERE and plain_scalar(text) == text:
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(char if char.isprintable() else f"\\U{ord(char):08x}" for char in escaped) + '"'

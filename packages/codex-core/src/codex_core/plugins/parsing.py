"""Read JSON without importing `json`, whose regular expressions cost more than all else that a warm answer needs.

Decision: CPython's own scanner, which `json` is built on, is asked directly; where there is none, `json` is.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class _Settings:
    """What the scanner reads of its decoder: plain values, nothing hooked."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float


def parse(text: str) -> Any:
    """The value of a JSON text without blanks around it; raises `ValueError` for anything else.

    >>> parse('{"a": [1, null, "\\\\u00e9"]}')
    {'a': [1, None, 'é']}
    """
    try:
        from _json import make_scanner
    except ImportError:
        import json

        return json.loads(text)
    try:
        value, end = make_scanner(_Settings)(text, 0)  # type: ignore[arg-type]  # it reads six attributes
    except StopIteration:
        raise ValueError("no JSON value") from None
    if end != len(text):
        raise ValueError(f"something follows the JSON value at {end}")
    return value

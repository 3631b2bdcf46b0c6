"""Rows of JSON in, rows of JSON out: how texts and ids travel between commands.

Decisions: one object per line; fields that a command does not know go through unchanged; rows leave as they come,
so that a pipeline never waits for its end.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from codex_core.errors import InputError


def converted(
    lines: Iterable[bytes], *, taken: str, given: str, convert: Callable[[Any], Any]
) -> Iterator[str]:
    """Each row with the field `taken` replaced by `given`; raises `InputError` with the number of a bad line."""
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            value = row.pop(taken)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise unreadable(f"line {number} is no JSON object with the field {taken!r}") from None
        if not _fits(value, taken):
            raise unreadable(
                f"the field {taken!r} of line {number} is no {'text' if taken == 'text' else 'list of ids'}"
            )
        yield json.dumps({given: convert(value), **row}, ensure_ascii=False)


def ids_of(text: str) -> list[int]:
    """Ids that are separated by blanks or commas; a JSON list is one, too."""
    words = text.replace("[", " ").replace("]", " ").replace(",", " ").split()
    if not all(word.isascii() and word.isdigit() for word in words):
        raise unreadable(
            f"{next(word for word in words if not (word.isascii() and word.isdigit()))!r:.60} is no id"
        )
    return [int(word[:20]) for word in words]


def unreadable(why: str) -> InputError:
    """The error for input that a command cannot use."""
    return InputError(
        code="TOK-021",
        what="the input is not what this command reads",
        why=why,
        fix="codex tokenizer encode --help",
    )


def _fits(value: Any, field: str) -> bool:
    if field == "text":
        return isinstance(value, str)
    return isinstance(value, list) and all(isinstance(id, int) and not isinstance(id, bool) for id in value)

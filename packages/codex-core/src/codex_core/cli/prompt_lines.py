"""Prompts from lines of JSON: `{"prompt": ...}` or `{"messages": [{"role": ..., "content": ...}, ...]}`.

Decision: lines are read strictly and all before the first is continued, so a mistake in the last line costs nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from codex_core.errors import InputError
from codex_core.records import Record, Turn, plain_text

ROLES = ("system", "user", "assistant", "tool")


def records_of(lines: Iterable[bytes], *, name: str) -> Iterator[Record]:
    """The records of lines; raises `InputError` with file and line for anything else than a prompt."""
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield _record(line, name=name, number=number)


def _record(line: bytes, *, name: str, number: int) -> Record:
    where = f"{name}:{number}"
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _mistake(where, f"this is no line of JSON: {error}") from None
    keys = set(row) if isinstance(row, dict) else set()
    if keys == {"prompt"} and isinstance(row["prompt"], str):
        return plain_text(row["prompt"], id=where, source=(name, number))
    if keys == {"messages"} and isinstance(row["messages"], list) and row["messages"]:
        turns = tuple(_turn(turn, where) for turn in row["messages"])
        return Record(id=where, turns=turns, source=(name, number))
    found = f"keys {', '.join(sorted(map(str, keys)))}" if keys else f"{line[:40]!r}"
    raise _mistake(where, f"expected a text under `prompt` or a list under `messages`, found {found}")


def _turn(turn: Any, where: str) -> Turn:
    is_turn = (
        isinstance(turn, dict) and turn.keys() == {"role", "content"} and isinstance(turn["content"], str)
    )
    if not is_turn or turn["role"] not in ROLES:
        raise _mistake(where, f"a message is a role ({', '.join(ROLES)}) and its content; found {turn!r:.60}")
    return Turn(turn["role"], turn["content"], learn=False)


def _mistake(where: str, why: str) -> InputError:
    return InputError(
        code="GEN-003",
        what="a line holds no prompt",
        where=where,
        why=why,
        fix='write lines like {"prompt": "Once upon"}',
    )

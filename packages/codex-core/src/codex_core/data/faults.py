"""What is wrong with a row, and what becomes of it.

Decisions: a fault knows field, what was expected and what was found, never the text of the row, which may be secret;
its place is added by who knows it. Only faults of rows can be skipped: a file that is missing, damaged or expands
beyond its limit ends the reading, whatever `on_error` says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from codex_core.data.inputs import InputFile
from codex_core.errors import InputError

TYPE_NAMES = {
    dict: "object", list: "array", tuple: "array", str: "string", bool: "boolean", int: "number", float: "number",
    type(None): "null",
}  # fmt: skip


class RowFault(Exception):
    """A row that cannot be taken, without its place; `reason` is the word under which it is counted."""

    def __init__(
        self,
        code: str,
        reason: str,
        *,
        expected: str,
        found: str,
        field: str | None = None,
        why: str | None = None,
        fix: str,
    ) -> None:
        super().__init__(found)
        self.code, self.reason = code, reason
        self.field, self.expected, self.found = field, expected, found
        self.why, self.fix = why, fix


class RowError(InputError):
    """A fault with its place: relative `file`, physical `line`, and the parts of the message as attributes."""

    def __init__(self, fault: RowFault, file: InputFile, line: int) -> None:
        prefix = "" if fault.field is None else f"field {fault.field!r}: "
        super().__init__(
            code=fault.code,
            what=f"{prefix}expected {fault.expected}, found {fault.found}",
            where=file.at(line),
            why=fault.why,
            fix=fault.fix,
        )
        self.file, self.line = file.name, line
        self.field, self.expected, self.found, self.reason = (
            fault.field,
            fault.expected,
            fault.found,
            fault.reason,
        )


class Account:
    """What one reading skipped and noted; `listener` is told of every fault before it is skipped."""

    def __init__(self, *, on_error: str = "fail", max_skip: int | None = None) -> None:
        self.on_error, self.max_skip = on_error, max_skip
        self.skipped: Counter[str] = Counter()
        self.notes: Counter[str] = Counter()
        self.listener: Callable[[RowError], None] | None = None

    def begin(self) -> None:
        """Forget the reading before."""
        self.skipped.clear()
        self.notes.clear()

    def refuse(self, fault: RowFault, file: InputFile, line: int) -> None:
        """Raise the fault with its place, or count it as skipped; raises `InputError` beyond `max_skip`."""
        error = RowError(fault, file, line)
        if self.listener is not None:
            self.listener(error)
        if self.on_error == "fail":
            raise error
        self.skipped[fault.reason] += 1
        refuse_beyond(self.max_skip, self.skipped, where=file.at(line))


def refuse_beyond(max_skip: int | None, skipped: Mapping[str, int], *, where: str | None = None) -> None:
    """Raise `InputError` when more rows were skipped than allowed."""
    total = sum(skipped.values())
    if max_skip is not None and total > max_skip:
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(skipped.items()))
        raise InputError(
            code="DAT-021",
            what=f"{total} rows cannot be read, at most {max_skip} may be skipped",
            where=where,
            why=reasons,
            fix="repair the rows (`codex data validate` lists all of them), or raise `max_skip`",
        )


def type_name(value: Any) -> str:
    """What JSON calls the type of a value.

    >>> type_name(None), type_name(1.5), type_name([])
    ('null', 'number', 'array')
    """
    return TYPE_NAMES.get(type(value), type(value).__name__)

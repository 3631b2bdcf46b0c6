"""What a row means: from its fields to the turns of a record.

Decisions: five forms; the fields of a form have names of their own, which `fields` maps to those of the rows. A
prompt is never learned, a completion always; of a conversation what the assistant says. An `input` that is absent,
null or empty is no turn. A message's further keys are not read, except that calls of tools are refused: to leave
them out would change what the conversation says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from codex_core.data.faults import RowFault, type_name
from codex_core.errors import UsageError
from codex_core.records import Turn

Turns = tuple[Turn, ...]
MakeTurns = Callable[[Mapping[str, Any]], Turns]

#: The fields of each form, by the name that `fields` maps to another.
FORM_FIELDS = {
    "text": ("text",),
    "prompt_completion": ("prompt", "completion"),
    "instruction": ("instruction", "input", "output"),
    "messages": ("messages", "role", "content"),
    "sharegpt": ("conversations", "from", "value"),
}

FORMS = tuple(FORM_FIELDS)

_ROLES = {role: role for role in ("system", "user", "assistant", "tool")}

#: Who speaks in ShareGPT rows, and the role that it is here.
_SHAREGPT_ROLES = {
    **_ROLES, "human": "user", "gpt": "assistant", "model": "assistant", "function": "tool", "observation": "tool",
}  # fmt: skip

_CALLS = ("tool_calls", "function_call")


def check_fields(form: str, fields: Mapping[str, str], *, place: str) -> None:
    """Raise `UsageError` for fields that the form does not have."""
    known = FORM_FIELDS[form]
    if unknown := sorted(set(fields) - set(known)):
        raise UsageError(
            code="DAT-022",
            what=f"the form {form!r} has no field {unknown[0]!r}",
            where=f"{place}.fields",
            why=f"its fields are {', '.join(known)}",
            fix=f"map these names to those of the rows, e.g. fields={{{known[0]}: name_in_the_row}}",
        )


def turns_of(form: str, *, fields: Mapping[str, str], learn: str, place: str) -> MakeTurns:
    """A function from a row to its turns; raises `UsageError` for fields that the form does not have."""
    check_fields(form, fields, place=place)
    known = FORM_FIELDS[form]
    names = [fields.get(name, name) for name in known]
    if form == "text":
        return _text(*names)
    if form == "prompt_completion":
        return _prompt_completion(*names)
    if form == "instruction":
        return _instruction(*names)
    roles = _ROLES if form == "messages" else _SHAREGPT_ROLES
    return _conversation(*names, roles=roles, only_last=learn == "last")


def text_in(row: Mapping[str, Any], name: str, place: str = "") -> str:
    """The text in a field of a row or message; raises `RowFault` for anything else."""
    value = row.get(name)
    if isinstance(value, str):
        return value
    raise unfit(row, name, value, expected="a string", place=place)


def group_in(row: Mapping[str, Any], name: str) -> str:
    """The group of a row: a text, or a whole number as its digits."""
    value = row.get(name)
    if isinstance(value, str):
        return value
    if type(value) is int:
        return str(value)
    raise unfit(row, name, value, expected="a string or a whole number of at most 64 bits")


def unfit(row: Mapping[str, Any], name: str, value: Any, *, expected: str, place: str = "") -> RowFault:
    """A field that is missing or holds something else."""
    absent = name not in row
    return RowFault(
        "DAT-005",
        "no-field" if absent else "wrong-type",
        field=f"{place}{name}",
        expected=expected,
        found="no such field" if absent else type_name(value),
        why=f"the {'message' if place else 'row'} has the fields: {', '.join(map(str, row)) or 'none'}",
        fix="name the fields of the rows with the options of the source, or repair the row",
    )


def _text(name: str) -> MakeTurns:
    def turns(row: Mapping[str, Any]) -> Turns:
        return (Turn("text", text_in(row, name)),)

    return turns


def _prompt_completion(prompt: str, completion: str) -> MakeTurns:
    def turns(row: Mapping[str, Any]) -> Turns:
        asked = Turn("prompt", text_in(row, prompt), False)
        return asked, Turn("completion", text_in(row, completion))

    return turns


def _instruction(instruction: str, given: str, output: str) -> MakeTurns:
    def turns(row: Mapping[str, Any]) -> Turns:
        asked = Turn("instruction", text_in(row, instruction), False)
        answer = Turn("output", text_in(row, output))
        if not row.get(given):
            if row.get(given) not in (None, ""):
                raise unfit(row, given, row[given], expected="a string")
            return asked, answer
        return asked, Turn("input", text_in(row, given), False), answer

    return turns


def _conversation(
    messages: str, role: str, content: str, *, roles: Mapping[str, str], only_last: bool
) -> MakeTurns:
    def turns(row: Mapping[str, Any]) -> Turns:
        held = row.get(messages)
        if not isinstance(held, (list, tuple)):
            raise unfit(row, messages, held, expected="an array of messages")
        if not held:
            raise _wrong(messages, "no-message", expected="at least one message", found="none")
        said = [
            _said(message, f"{messages}[{i}]", role, content, roles=roles) for i, message in enumerate(held)
        ]
        last = max((i for i, (who, _) in enumerate(said) if who == "assistant"), default=-1)
        return tuple(
            Turn(who, text, who == "assistant" and (i == last or not only_last))
            for i, (who, text) in enumerate(said)
        )

    return turns


def _said(message: Any, place: str, role: str, content: str, *, roles: Mapping[str, str]) -> tuple[str, str]:
    if not isinstance(message, Mapping):
        raise _wrong(place, "wrong-type", expected="an object", found=type_name(message))
    who = roles.get(text_in(message, role, f"{place}."))
    if who is None:
        known = ", ".join(roles)
        raise _wrong(f"{place}.{role}", "unknown-role", expected=f"one of {known}", found="another role")
    if call := next((name for name in _CALLS if message.get(name)), None):
        raise _wrong(f"{place}.{call}", "tool-call", expected="no call of a tool", found="one")
    return who, text_in(message, content, f"{place}.")


def _wrong(field: str, reason: str, *, expected: str, found: str) -> RowFault:
    return RowFault("DAT-005", reason, field=field, expected=expected, found=found, fix="repair the row")

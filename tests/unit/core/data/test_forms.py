"""Forms of rows."""

from __future__ import annotations

import pytest

from codex_core.data.faults import RowFault
from codex_core.data.forms import FORM_FIELDS, turns_of
from codex_core.errors import UsageError


def turns(form, row, *, fields=None, learn="all"):
    """Role, text and learn of the turns of a row."""
    made = turns_of(form, fields=fields or {}, learn=learn, place="rows")(row)
    return [(turn.role, turn.text, turn.learn) for turn in made]


def chat(*said):
    return {"messages": [{"role": role, "content": text} for role, text in said]}


def test_prompt_and_completion():
    """The completion alone is learned."""
    assert turns("prompt_completion", {"prompt": "p", "completion": "c"}) == [
        ("prompt", "p", False),
        ("completion", "c", True),
    ]


@pytest.mark.parametrize("absent", [{}, {"input": None}, {"input": ""}])
def test_instruction_without_input(absent):
    """An input that is absent, null or empty is no turn."""
    row = {"instruction": "i", "output": "o", **absent}

    assert turns("instruction", row) == [("instruction", "i", False), ("output", "o", True)]


def test_instruction_with_input():
    """The input stands between, and is not learned."""
    row = {"instruction": "i", "input": "x", "output": "o"}

    assert turns("instruction", row)[1] == ("input", "x", False)


def test_messages_learn_the_assistant():
    """What the assistant says is learned; with learn=last only the last time."""
    row = chat(
        ("system", "s"), ("user", "u"), ("assistant", "a"), ("tool", "t"), ("assistant", "b"), ("user", "v")
    )

    assert [learn for _, _, learn in turns("messages", row)] == [False, False, True, False, True, False]
    last = [learn for _, _, learn in turns("messages", row, learn="last")]
    assert last == [False, False, False, False, True, False]


def test_sharegpt_is_messages():
    """Speakers become roles; fields are `from` and `value`."""
    said = [("system", "s"), ("human", "h"), ("gpt", "g"), ("observation", "o"), ("model", "m")]
    row = {"conversations": [{"from": who, "value": text} for who, text in said]}

    assert turns("sharegpt", row) == [
        ("system", "s", False),
        ("user", "h", False),
        ("assistant", "g", True),
        ("tool", "o", False),
        ("assistant", "m", True),
    ]


@pytest.mark.parametrize("form", FORM_FIELDS)
def test_fields_are_mapped(form):
    """Every field of every form can have another name in the rows."""
    names = {name: f"my {name}" for name in FORM_FIELDS[form]}
    plain = {name: f"text of {name}" for name in names}
    if form in ("messages", "sharegpt"):
        outer, role, content = FORM_FIELDS[form]
        row = {outer: [{role: "system", content: "s"}]}
        renamed = {names[outer]: [{names[role]: "system", names[content]: "s"}]}
    else:
        row, renamed = plain, {names[name]: text for name, text in plain.items()}

    assert turns(form, renamed, fields=names) == turns(form, row)


def test_fields_of_another_form_are_refused():
    """A name that the form does not have is a usage error naming those that it has."""
    with pytest.raises(UsageError) as caught:
        turns("prompt_completion", {}, fields={"text": "body"})

    assert caught.value.code == "DAT-022"
    assert "prompt, completion" in str(caught.value)


BAD = {
    "no messages": ("messages", {}, "messages", "no-field", "no such field"),
    "text": ("messages", {"messages": "hi"}, "messages", "wrong-type", "string"),
    "none said": ("messages", {"messages": []}, "messages", "no-message", "none"),
    "no object": ("messages", {"messages": ["hi"]}, "messages[0]", "wrong-type", "string"),
    "null": (
        "messages",
        chat(("user", "u"), ("assistant", None)),
        "messages[1].content",
        "wrong-type",
        "null",
    ),
    "no role": (
        "messages",
        {"messages": [{"content": "x"}]},
        "messages[0].role",
        "no-field",
        "no such field",
    ),
    "parts": ("messages", chat(("user", [{"type": "text"}])), "messages[0].content", "wrong-type", "array"),
    "role": ("messages", chat(("human", "x")), "messages[0].role", "unknown-role", "another role"),
    "call": (
        "messages",
        {"messages": [{"role": "assistant", "content": "", "tool_calls": [{}]}]},
        "messages[0].tool_calls",
        "tool-call",
        "one",
    ),
    "gpt": (
        "sharegpt",
        {"conversations": [{"from": "gpt", "value": 1}]},
        "conversations[0].value",
        "wrong-type",
        "number",
    ),
    "input": (
        "instruction",
        {"instruction": "i", "input": 0, "output": "o"},
        "input",
        "wrong-type",
        "number",
    ),
    "prompt": ("prompt_completion", {"completion": "c"}, "prompt", "no-field", "no such field"),
}


@pytest.mark.parametrize("name", BAD)
def test_misfit_names_field_and_finding(name):
    """What does not fit is named by its place in the row, with what was found there and no text of it."""
    form, row, field, reason, found = BAD[name]

    with pytest.raises(RowFault) as caught:
        turns(form, row)

    assert (caught.value.field, caught.value.reason, caught.value.found) == (field, reason, found)

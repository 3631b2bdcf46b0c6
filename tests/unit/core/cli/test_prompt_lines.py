"""Prompts from lines of JSON."""

from __future__ import annotations

import pytest

from codex_core.cli.prompt_lines import records_of
from codex_core.errors import InputError


def test_prompts_and_conversations_are_read():
    """A prompt is plain text, messages are turns that nothing is learned from; blank lines are passed over."""
    lines = [
        b'{"prompt": "Once upon"}\n',
        b"\n",
        b'{"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]}',
    ]
    plain, talk = records_of(lines, name="asked.jsonl")
    assert (plain.text, plain.turns[0].role, plain.source) == ("Once upon", "text", ("asked.jsonl", 1))
    assert [(turn.role, turn.text, turn.learn) for turn in talk.turns] == [
        ("system", "Be brief.", False),
        ("user", "Why?", False),
    ]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"Once upon", "no line of JSON"),
        (b"\xff", "no line of JSON"),
        (b"[" * 100_000, "no line of JSON"),
        (b'"Once upon"', "expected a text"),
        (b'{"prompt": 3}', "expected a text"),
        (b'{"prompt": "a", "seed": 1}', "keys prompt, seed"),
        (b'{"messages": []}', "expected a text"),
        (b'{"messages": [{"role": "robot", "content": "a"}]}', "a message is a role"),
        (b'{"messages": [{"role": "user"}]}', "a message is a role"),
    ],
)
def test_other_lines_are_refused_with_their_place(line, why):
    """Anything else names the file, the line, and what was expected."""
    with pytest.raises(InputError, match="no prompt") as caught:
        list(records_of([b'{"prompt": "a"}', line], name="asked.jsonl"))
    assert caught.value.where == "asked.jsonl:2"
    assert why in str(caught.value)

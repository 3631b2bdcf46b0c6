"""How a record is laid out as text: the one rendering that training, generation and evaluation share.

Decisions: the default layout has no markers that text could imitate. A turn with role `text` is its text alone;
any other turn has its role on a line of its own before it. Every turn is closed by EOS, as an id, which no text
can encode to. Role lines are never supervised; a turn's text and its EOS are when the turn says `learn`.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from codex_core.errors import UsageError
from codex_core.records import Record

#: Part of every fingerprint; rises when the same record would be laid out differently.
LAYOUT_VERSION = 1


@attrs.frozen
class Piece:
    """A stretch of the rendered text that is encoded by itself; `closes` asks for EOS after it."""

    text: str
    learn: bool
    closes: bool = False


def lay_out(record: Record) -> Iterator[Piece]:
    """The pieces of a record, in order; joined, their texts are the rendered text.

    >>> from codex_core.records import Turn
    >>> turns = (Turn("user", "Hello", learn=False), Turn("assistant", "Hi"))
    >>> "".join(piece.text for piece in lay_out(Record(id="a", turns=turns, source=("a", 1))))
    'user:\\nHello\\nassistant:\\nHi'
    """
    for number, turn in enumerate(record.turns):
        header = ("\n" if number else "") + ("" if turn.role == "text" else f"{turn.role}:\n")
        if header:
            yield Piece(header, learn=False)
        yield Piece(turn.text, learn=turn.learn, closes=True)


def refuse_template(name: str | None) -> None:
    """Raise `UsageError` for any template: this artefact holds none."""
    if name is not None:
        raise UsageError(
            code="TOK-005",
            what=f"this tokenizer has no chat template {name!r}",
            why="it renders with its default layout only",
            fix="leave the template out",
        )

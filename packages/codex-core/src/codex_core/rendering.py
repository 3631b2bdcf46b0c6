"""How a record becomes text and ids: the one layout that training, generation and evaluation share.

Decisions: the default layout has no markers that text could imitate. A turn with role `text` is its text alone;
any other turn has its role on a line of its own before it. Every turn is closed by EOS, as an id, which no text
can encode to. Role lines are never supervised; a turn's text and its EOS are when the turn says `learn`.
What a model is given to continue comes from the same rendering, cut before the first token it is to make.
Borders are by segment: every piece is encoded by itself, so that no token lies across the border of what is
supervised, and no mask depends on the length of an encoded prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import attrs

from codex_core.records import Encoded, Record, Turn

if TYPE_CHECKING:
    from codex_core.contracts import Tokenizer

#: Part of every fingerprint; rises when the same record would be laid out differently.
LAYOUT_VERSION = 1

#: How the border between supervised and other tokens is found; named in what tokenizers save.
BORDER_RULE = "segments/1"

#: The role that answers, by a role that asks; any other conversation is answered by `assistant`.
REPLIES = {"prompt": "completion", "instruction": "output", "input": "output"}

#: Roles whose turn at the end of a record is the answer itself.
REPLY_ROLES = frozenset({"assistant", *REPLIES.values()})

EncodeWithOffsets = Callable[[str], tuple[list[int], list[tuple[int, int]]]]


@attrs.frozen
class Piece:
    """A stretch of the rendered text that is encoded by itself; `closes` asks for EOS after it.

    With `id` the stretch is that one special token, spelt as `text`.
    """

    text: str
    learn: bool
    closes: bool = False
    id: int | None = None


def lay_out(record: Record) -> Iterator[Piece]:
    """The pieces of a record in the default layout, in order; joined, their texts are the rendered text.

    >>> turns = (Turn("user", "Hello", learn=False), Turn("assistant", "Hi"))
    >>> "".join(piece.text for piece in lay_out(Record(id="a", turns=turns, source=("a", 1))))
    'user:\\nHello\\nassistant:\\nHi'
    """
    for number, turn in enumerate(record.turns):
        header = ("\n" if number else "") + ("" if turn.role == "text" else f"{turn.role}:\n")
        if header:
            yield Piece(header, learn=False)
        yield Piece(turn.text, learn=turn.learn, closes=True)


def encode_pieces(
    pieces: Iterable[Piece], *, encode_with_offsets: EncodeWithOffsets, bos: int | None, eos: int
) -> Encoded:
    """Pieces encoded one by one behind BOS (None leaves it out): text, ids, what is supervised, and offsets."""
    texts: list[str] = []
    ids, mask, offsets = ([], [], []) if bos is None else ([bos], [False], [(0, 0)])
    start = 0
    for piece in pieces:
        if piece.id is None:
            piece_ids, spans = encode_with_offsets(piece.text)
        else:
            piece_ids, spans = [piece.id], [(0, len(piece.text))]
        ids += piece_ids
        offsets += [(start + first, start + last) for first, last in spans] if start else spans
        mask += [piece.learn] * len(piece_ids)
        texts.append(piece.text)
        start += len(piece.text)
        if piece.closes:
            ids.append(eos)
            mask.append(piece.learn)
            offsets.append((start, start))
    return Encoded(text="".join(texts), ids=tuple(ids), loss_mask=tuple(mask), offsets=tuple(offsets))


def prompt_ids(tokenizer: Tokenizer, record: Record) -> tuple[int, ...]:
    """What a model is given to continue: the beginning of the rendering that training would see.

    For plain text the rendering without its closing EOS. For turns the rendering up to the answer: an answer that
    stands at the end of the record is left out, earlier ones are context.
    """
    if not record.turns or record.turns[-1].role == "text":
        return tokenizer.render(record).ids[:-1]
    rendered = tokenizer.render(_asking(record))
    return rendered.ids[: rendered.loss_mask.index(True)]


def stop_ids(tokenizer: Tokenizer) -> tuple[int, ...]:
    """The ids after which an answer is over: EOS, and what the tokenizer's template closes an answer with."""
    question = Record(id="stop", turns=(Turn("user", "?", learn=False),), source=("stop", 1))
    rendered = tokenizer.render(_asking(question))
    learned = [id for id, learn in zip(rendered.ids, rendered.loss_mask, strict=True) if learn]
    return tuple(dict.fromkeys([tokenizer.special_ids["eos"], *learned[-1:]]))


def loss_spans(encoded: Encoded) -> tuple[tuple[int, int], ...]:
    """Half-open code points of the text that is supervised, neighbours joined; tokens without text have none.

    >>> loss_spans(Encoded(text="abc", ids=(1, 2, 3), loss_mask=(False, True, True), offsets=((0, 1), (1, 2), (2, 3))))
    ((1, 3),)
    """
    spans: list[tuple[int, int]] = []
    for (start, end), learn in zip(encoded.offsets, encoded.loss_mask, strict=True):
        if not learn or start == end:
            continue
        if spans and start <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
        else:
            spans.append((start, end))
    return tuple(spans)


def reply_role(record: Record) -> str:
    """The role that answers a record.

    >>> reply_role(Record(id="a", turns=(Turn("prompt", "2 + 2 =", learn=False),), source=("a", 1)))
    'completion'
    """
    return next((REPLIES[turn.role] for turn in record.turns if turn.role in REPLIES), "assistant")


def _asking(record: Record) -> Record:
    """The record with an empty answer at its end, the only turn that is supervised."""
    asked = record.turns[:-1] if record.turns[-1].role in REPLY_ROLES else record.turns
    turns = [attrs.evolve(turn, learn=False) for turn in asked]
    return attrs.evolve(record, turns=(*turns, Turn(reply_role(record), "", learn=True)))

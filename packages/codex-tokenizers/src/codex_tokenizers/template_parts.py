"""A rendered skeleton as parts: markup, special ids, contents, and which of them are learned with which answer.

Decisions: an answer begins where the prompt ends and is closed by the first special token after its content; where
a template marks what is generated, the marks alone decide. Either way an answer ends with a special token, or the
template is refused: a model that never learns to stop looks healthy in training.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import attrs

from codex_tokenizers.specials import Specials
from codex_tokenizers.stand_ins import CLOSE, MARK_OFF, MARK_ON, OPEN, Refused

_PRIVATE = re.compile(f"{OPEN}([0-9]+){CLOSE}|[{MARK_ON}{MARK_OFF}]")


@attrs.frozen(kw_only=True)
class Part:
    """A stretch of a rendered conversation: markup, a special token (`id`), or the content of a message.

    `answer` is the message that it is learned with, None for what is never learned; `at` its place in the skeleton.
    """

    text: str
    at: int
    id: int | None = None
    content: int | None = None
    answer: int | None = None


def parts_of(found: Mapping[str, Any], specials: Specials) -> list[Part]:
    """The parts of what `jinja_room.skeleton` returned; raises `Refused` when an answer is not closed."""
    starts = () if found["marked"] else found["starts"]
    pieces = list(_pieces(found["text"], borders=starts, specials=specials))
    parts = list(_by_marks(pieces) if found["marked"] else _by_starts(pieces, starts))
    last = {part.answer: part for part in parts if part.answer is not None}
    if len(last) < len(found["starts"]) or any(part.id is None for part in last.values()):
        raise Refused("no special token closes an answer, so that a model would not learn to stop")
    return parts


def _pieces(text: str, *, borders: Collection[int], specials: Specials) -> Iterator[Part]:
    """The skeleton cut at stand-ins, marks, borders and special tokens; a mark is a part with its own text."""
    place = 0
    for match in _PRIVATE.finditer(text):
        yield from _markup(text, place, match.start(), borders, specials)
        place = match.end()
        content = None if match[1] is None else int(match[1])
        yield Part(text=match[0], at=match.start(), content=content)
    yield from _markup(text, place, len(text), borders, specials)


def _markup(text: str, start: int, end: int, borders: Collection[int], specials: Specials) -> Iterator[Part]:
    cuts = [start, *sorted(border for border in borders if start < border < end), end]
    for first, last in pairwise(cuts):
        place = first
        for stretch, id in specials.split(text[first:last]):
            yield Part(text=stretch, at=place, id=id)
            place += len(stretch)


def _by_starts(pieces: Sequence[Part], starts: Collection[int]) -> Iterator[Part]:
    """Each answer reaches from its start to the first special token after its content."""
    group: list[Part] | None = None
    for piece in pieces:
        if piece.at in starts:
            group = []
        if group is None:
            yield piece
            continue
        group.append(piece)
        answer = next((one.content for one in group if one.content is not None), None)
        if piece.id is not None and answer is not None:
            yield from (attrs.evolve(one, answer=answer) for one in group)
            group = None
    yield from group or ()


def _by_marks(pieces: Sequence[Part]) -> Iterator[Part]:
    """Each answer is what stands between marks; marks without content belong to the message before them."""
    group: list[Part] | None = None
    answer: int | None = None
    for piece in pieces:
        if piece.text == MARK_ON and group is None:
            group = []
        elif piece.text == MARK_OFF and group is not None:
            answer = next((one.content for one in group if one.content is not None), answer)
            yield from (attrs.evolve(one, answer=answer) for one in group)
            group = None
        elif piece.text in (MARK_ON, MARK_OFF):
            raise Refused("its generation marks are nested")
        elif group is None:
            yield piece
        else:
            group.append(piece)

"""Chat templates: how a conversation becomes text with markers, and which part of it is learned.

Decisions: a template belongs to the artefact and to its fingerprint. It is rendered once per sequence of roles, over
stand-ins; content is put in afterwards, encoded by itself as plain text, whatever it spells. A marker becomes a
special id only where the template, not a message, spells a special token of the tokenizer. Supervised are the
answer and the special token that closes it, or what the template marks with `{% generation %}`. Plain text has no
turns and is rendered in the default layout. BOS stands first, once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import attrs

from codex_core.canonical import sha256_of
from codex_core.errors import InputError, UsageError
from codex_core.records import Encoded, Record, Turn
from codex_core.rendering import EncodeWithOffsets, Piece, encode_pieces, lay_out
from codex_tokenizers.specials import Specials
from codex_tokenizers.stand_ins import Refused
from codex_tokenizers.template_child import Renderer
from codex_tokenizers.template_parts import Part, parts_of

PLAIN = "plain"
OWN = "own"

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

#: Built-in templates: source, and the special tokens that it needs.
BUILT_IN: dict[str, tuple[str, tuple[str, ...]]] = {"chatml": (CHATML, ("<|im_start|>", "<|im_end|>"))}

FILE_NAME = "chat_template.jinja"

#: What a role is called in a chat; any other role keeps its name.
CHAT_ROLES = {
    "prompt": "user",
    "completion": "assistant",
    "instruction": "user",
    "input": "user",
    "output": "assistant",
}

_ROLE = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}")


@attrs.frozen(kw_only=True)
class Template:
    """A chat template by name and source; the default layout is no template, but None."""

    name: str
    source: str
    markers: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """`sha256:<hex>` of the source."""
        return sha256_of(self.source.encode())


def find(asked: str | None, *, own: Template | None = None) -> Template | None:
    """The template that an option names: None and `plain` are the default layout, `own` the artefact's.

    Raises `UsageError` when there is none.
    """
    if asked is None or asked == PLAIN:
        return None
    if asked == OWN and own is not None:
        return own
    if asked in BUILT_IN:
        source, markers = BUILT_IN[asked]
        return Template(name=asked, source=source, markers=markers)
    if (path := Path(asked)).is_file():
        return Template(name=path.name, source=_read(path))
    why = (
        "the tokenizer brings none"
        if asked == OWN
        else f"there is no such file; built in: plain, {', '.join(BUILT_IN)}"
    )
    raise UsageError(
        code="TOK-005", what=f"there is no chat template {asked!r}", why=why, fix="leave the template out"
    )


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            code="TOK-011",
            what="a chat template cannot be read",
            where=str(path),
            why=str(error),
            fix="name a Jinja file in UTF-8",
        ) from error


def inputs(asked: str | None) -> dict[str, str]:
    """The digest of the file that an option names; nothing for a built-in name, whose text is part of the code."""
    if asked is None or asked in (PLAIN, OWN, *BUILT_IN) or not Path(asked).is_file():
        return {}
    return {"template": Template(name="", source=_read(Path(asked))).digest}


class Rendering:
    """Renders the records of one tokenizer: its template, its special tokens, its way to encode."""

    def __init__(self, template: Template | None, specials: Specials) -> None:
        self.template = template
        self.specials = specials
        if template is not None:
            _refuse_lacking(template, specials)
        self._parts = cache(self._rendered_parts)
        self._with = cache(self._rendering_with)

    def render(self, record: Record, asked: str | None, encode_with_offsets: EncodeWithOffsets) -> Encoded:
        """The one rendering; `asked` names another template than the tokenizer's own, to look at what it would give."""
        own = PLAIN if self.template is None else self.template.name
        if asked not in (None, own, OWN):
            assert asked is not None
            return self._with(asked).render(record, None, encode_with_offsets)
        specials = self.specials
        if self.template is None or all(turn.role == "text" for turn in record.turns):
            pieces: Sequence[Piece] = list(lay_out(record))
        else:
            pieces = list(self._pieces(record))
        starts_with_bos = bool(pieces) and pieces[0].id == specials.bos
        return encode_pieces(
            pieces,
            encode_with_offsets=encode_with_offsets,
            bos=None if starts_with_bos else specials.bos,
            eos=specials.eos,
        )

    def _rendering_with(self, asked: str) -> Rendering:
        template = find(asked, own=self.template)
        try:
            return Rendering(template, self.specials)
        except UsageError as error:
            raise UsageError(
                code="TOK-005",
                what=f"this tokenizer has no chat template {asked!r}",
                why=error.why,
                fix="leave the template out, or learn the tokenizer with this template",
            ) from error

    def _pieces(self, record: Record) -> Iterator[Piece]:
        messages = _messages(record)
        try:
            parts = self._parts(tuple(turn.role for turn in messages))
        except Refused as error:
            assert self.template is not None
            raise InputError(
                code="TOK-012",
                what=f"the chat template {self.template.name!r} cannot render a conversation",
                where="{}:{} ({})".format(*record.source, record.id),
                why=str(error),
                fix="correct the template or the conversation, or choose template: plain",
            ) from error
        for part in parts:
            learn = part.answer is not None and messages[part.answer].learn
            if part.content is None:
                yield Piece(part.text, learn=learn, id=part.id)
            else:
                yield Piece(messages[part.content].text, learn=messages[part.content].learn)

    def _rendered_parts(self, roles: tuple[str, ...]) -> tuple[Part, ...]:
        assert self.template is not None
        specials = self.specials
        tokens = {f"{role}_token": specials.spelling(role) for role in ("bos", "eos", "pad", "unk")}
        render = _trusted if _is_built_in(self.template) else _renderer().skeleton
        return tuple(parts_of(render(self.template.source, roles, tokens), specials))


def _is_built_in(template: Template) -> bool:
    return any(template.source == source for source, _ in BUILT_IN.values())


def _trusted(source: str, roles: Sequence[str], tokens: Mapping[str, str]) -> dict[str, Any]:
    """A skeleton made in this process: for templates that are our own text."""
    from codex_tokenizers import (
        jinja_room,
    )  # not at the top: most tokenizers have no template, and Jinja is large

    return jinja_room.skeleton(source, roles, tokens)


@cache
def _renderer() -> Renderer:
    return Renderer()


def _refuse_lacking(template: Template, specials: Specials) -> None:
    lacking = [marker for marker in template.markers if marker not in specials.spellings]
    if lacking:
        raise UsageError(
            code="TOK-013",
            what=f"the chat template {template.name!r} needs special tokens that this tokenizer does not have",
            why=f"it lacks {', '.join(lacking)}",
            fix="learn a tokenizer with this template, or choose template: plain",
        )


def _messages(record: Record) -> list[Turn]:
    """The turns as a chat has them: its roles, and an instruction together with its input."""
    messages: list[Turn] = []
    for turn in record.turns:
        if turn.role == "text" or not _ROLE.fullmatch(turn.role):
            raise InputError(
                code="TOK-012",
                what=f"a chat template cannot render a turn with the role {turn.role!r:.60}",
                where="{}:{} ({})".format(*record.source, record.id),
                why="a role is a word of letters, digits, _ and -; text stands alone",
                fix="correct the role, or choose template: plain",
            )
        if turn.role == "input" and messages:
            before = messages[-1]
            messages[-1] = Turn(before.role, f"{before.text}\n\n{turn.text}", before.learn or turn.learn)
        else:
            messages.append(attrs.evolve(turn, role=CHAT_ROLES.get(turn.role, turn.role)))
    return messages

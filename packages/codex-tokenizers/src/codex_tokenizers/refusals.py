"""What every tokenizer refuses in the same words: text that is no Unicode, and ids of another vocabulary."""

from __future__ import annotations

from collections.abc import Sequence

from codex_core.errors import InputError


def utf8(text: str) -> bytes:
    """The bytes of a text; raises `InputError` for one that UTF-8 cannot hold."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            code="TOK-002",
            what=f"a text holds a lone surrogate at code point {error.start}",
            why="half of a UTF-16 pair is no character, and UTF-8 cannot hold it",
            fix="read the source as UTF-8, strictly, or repair the text",
        ) from error


def refuse_surrogates(text: str) -> None:
    """Raise `InputError` for a text that UTF-8 cannot hold."""
    if not text.isascii():
        utf8(text)


def refuse_foreign_ids(ids: Sequence[int], *, vocab_size: int) -> None:
    """Raise `InputError` for ids that are not in the vocabulary."""
    if ids and not 0 <= min(ids) <= max(ids) < vocab_size:
        outside = next(i for i in ids if not 0 <= i < vocab_size)
        raise InputError(
            code="TOK-003",
            what=f"token id {outside} is not in this vocabulary of {vocab_size} ids",
            fix="decode with the tokenizer that encoded",
        )

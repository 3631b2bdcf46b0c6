"""Texts on which an exported model is compared with what it was exported from."""

from __future__ import annotations

from collections.abc import Sequence

from codex_core.contracts import Tokenizer
from codex_core.records import plain_text
from codex_core.rendering import prompt_ids

#: Nothing, prose, code, digits, letters beyond ASCII, white space that must survive.
GOLDEN_PROMPTS = (
    "",
    "The licence is in the file LICENSE, which you should read before you copy anything.",
    "def area(width: float, height: float) -> float:\n    return width * height\n",
    "1, 2, 3, 10, 200, 3000: numbers of different length",
    "Größe, ångström, 日本語, \U0001f600 und naïve façades",
    "\ttabs,  two blanks and\n\n\nempty lines ",
)


def rendered(tokenizer: Tokenizer) -> list[tuple[int, ...]]:
    """The ids of each prompt as a model is given them to continue."""
    return [
        prompt_ids(tokenizer, plain_text(text, id=f"golden-{number}", source=("golden prompts", number)))
        for number, text in enumerate(GOLDEN_PROMPTS, start=1)
    ]


def fitting(rows: Sequence[Sequence[int]], context_length: int | None) -> list[tuple[int, ...]]:
    """Rows cut to the context."""
    return [tuple(row[:context_length]) for row in rows]

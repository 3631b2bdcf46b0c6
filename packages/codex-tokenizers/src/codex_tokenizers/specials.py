"""Special tokens: ids that no text encodes to unless the caller allows it.

Decisions: a spelling in a text is found from the left, the longest one first; the roles `bos`, `eos` and `pad`
stand for the first three ids of every tokenizer that is learned here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from types import MappingProxyType

import attrs

from codex_core.errors import UsageError

#: Special tokens of learned tokenizers by role; ids follow this order.
SPECIAL_TOKENS: Mapping[str, str] = MappingProxyType(
    {"bos": "<|codex:bos|>", "eos": "<|codex:eos|>", "pad": "<|codex:pad|>"}
)


@attrs.define(frozen=True, kw_only=True, slots=False)
class Specials:
    """The special tokens of one tokenizer: ids by role, and ids by spelling."""

    roles: Mapping[str, int]
    spellings: Mapping[str, int]

    @property
    def bos(self) -> int:
        """What every rendering starts with."""
        return self.roles["bos"]

    @property
    def eos(self) -> int:
        """What closes a turn of the default layout."""
        return self.roles["eos"]

    @property
    def pad(self) -> int:
        """What fills rows; EOS where there is no token of its own for it."""
        return self.roles.get("pad", self.roles["eos"])

    def spelling(self, role: str) -> str:
        """How the token of a role is written; nothing where it has no spelling."""
        wanted = self.roles.get(role)
        return next((text for text, id in self.spellings.items() if id == wanted), "")

    @cached_property
    def _pattern(self) -> re.Pattern[str] | None:
        longest_first = sorted(self.spellings, key=len, reverse=True)
        return re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def split(self, text: str) -> Iterator[tuple[str, int | None]]:
        """Stretches of a text in order: spelt special tokens with their ids, everything else with None.

        >>> list(Specials(roles={}, spellings={"<e>": 1}).split("a<e>b"))
        [('a', None), ('<e>', 1), ('b', None)]
        """
        place = 0
        for match in self._pattern.finditer(text) if self._pattern else ():
            if match.start() > place:
                yield text[place : match.start()], None
            yield match[0], self.spellings[match[0]]
            place = match.end()
        if place < len(text):
            yield text[place:], None


def reserved(asked: Iterable[str], markers: Iterable[str]) -> tuple[str, ...]:
    """Special tokens to reserve beside the three of every tokenizer; raises `UsageError` for what cannot be one."""
    found = tuple(dict.fromkeys([*asked, *markers]))
    wrong = [token for token in found if not token.strip() or token in SPECIAL_TOKENS.values()]
    if wrong:
        raise UsageError(
            code="TOK-014",
            what=f"{wrong[0]!r} cannot be a further special token",
            why="it is blank, or every tokenizer has it already",
            fix="leave it out of special_tokens",
        )
    return found

"""Text in, text without secrets out, in one pass, whatever the pieces in which the text arrives.

Decisions: a whole text is a stream of one piece, so that there is one way through; text is held back only from
the first place whose verdict later characters could change; overlapping secrets are redacted as one, named after
the first; a match inside an earlier one is not reported; after a block nothing more is shown, yet all is searched.

Positions are code points of all text pushed so far.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence

from codex_core.records import Match
from codex_safety.rules import CONTEXT, Rule

_Found = tuple[int, int, int]  # start, -end, number of the rule: sorts by place, the longest first


class RuleSet:
    """Rules with what every stream needs of them: their literals, and all proper beginnings of these."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = tuple(rules)
        self.exact = _literals(self.rules, ignore_case=False)
        self.folded = _literals(self.rules, ignore_case=True)
        self.beginnings = frozenset(
            literal[:length]
            for literal, _, _ in (*self.exact, *self.folded)
            for length in range(1, len(literal))
        )
        self.longest = max(map(len, self.beginnings), default=0)


class RedactingStream:
    """One text on its way through the rules."""

    def __init__(self, rules: RuleSet, *, action: str) -> None:
        self.matches: list[Match] = []
        self._rules = rules
        self._action = action
        self._text = ""  # what is still needed, from position `_base` on
        self._base = 0
        self._settled = 0  # literals before it are done with
        self._shown = 0  # text before it is shown or redacted
        self._wait = 0  # nothing can be settled before this much text is there
        self._found: list[_Found] = []
        self._is_blocked = False

    def push(self, text: str) -> str:
        """Take a piece, return what may be shown already."""
        self._text += text
        if self._base + len(self._text) < self._wait:
            return ""
        return self._advance(is_last=False)

    def close(self, text: str = "") -> tuple[str, tuple[Match, ...]]:
        """Take the last piece, if any; return what remains to be shown, and all matches."""
        self._text += text
        return self._advance(is_last=True), tuple(self.matches)

    def _advance(self, *, is_last: bool) -> str:
        self._search(is_last=is_last)
        shown = self._show()
        keep = max(self._settled - CONTEXT, self._base)
        self._text = self._text[keep - self._base :]
        self._base = keep
        return shown

    def _search(self, *, is_last: bool) -> None:
        """Ask the rules about the literals whose surroundings are complete; `_settled` moves up to the first that
        has to wait."""
        text, folded = self._text, fold(self._text)
        start, hold = self._settled - self._base, len(text)
        self._wait = 0
        found: list[tuple[int, _Found]] = []
        if not is_last:
            hold -= self._num_pending(text, folded)
        for hay, literals in ((text, self._rules.exact), (folded, self._rules.folded)):
            for literal, number, rule in literals:
                at = hay.find(literal, start)
                while 0 <= at < hold:
                    if not is_last and at + rule.needs(text, at) > len(text):
                        hold, self._wait = at, self._base + at + rule.needs(text, at)
                        break
                    if span := rule.find(text, at):
                        found.append((at, (self._base + span[0], -self._base - span[1], number)))
                    at = hay.find(literal, at + 1)
        self._settled = self._base + hold
        if found:
            self._found += [what for at, what in found if at < hold]
            self._found.sort()

    def _num_pending(self, text: str, folded: str) -> int:
        """Length of the longest end of the text that may become a literal."""
        beginnings = self._rules.beginnings
        for length in range(min(self._rules.longest, len(text)), 0, -1):
            if text[-length:] in beginnings or folded[-length:] in beginnings:
                return length
        return 0

    def _show(self) -> str:
        """Text and marks up to `_settled`, where all matches that begin before it are known."""
        parts = []
        num_known = bisect.bisect_left(self._found, (self._settled,))
        for start, negative_end, number in self._found[:num_known]:
            end = -negative_end
            if end <= self._shown:
                continue  # inside what is redacted already
            rule = self._rules.rules[number].name
            self.matches.append(Match(rule=rule, start=start, end=end, action=self._action))
            if start >= self._shown:
                parts += [self._slice(self._shown, start), self._mark(rule)]
            self._shown = end
        del self._found[:num_known]
        parts.append(self._slice(self._shown, self._settled))
        self._shown = max(self._shown, self._settled)
        return "".join(parts)

    def _slice(self, start: int, end: int) -> str:
        if self._is_blocked or end <= start:
            return ""
        return self._text[start - self._base : end - self._base]

    def _mark(self, rule: str) -> str:
        if self._is_blocked:
            return ""
        self._is_blocked = self._action == "block"
        return f"[BLOCKED:{rule}]" if self._is_blocked else f"[REDACTED:{rule}]"


def fold(text: str) -> str:
    """Lower case, character by character, so that places stay.

    >>> len(fold("\\u0130x"))
    2
    """
    folded = text.lower()
    return folded if len(folded) == len(text) else text.replace("\u0130", "i").lower()


def _literals(rules: Sequence[Rule], *, ignore_case: bool) -> tuple[tuple[str, int, Rule], ...]:
    return tuple(
        (literal, number, rule)
        for number, rule in enumerate(rules)
        if rule.ignore_case == ignore_case
        for literal in rule.literals
    )

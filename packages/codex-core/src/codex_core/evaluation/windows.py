"""How a text longer than a model's context is scored.

Decision: windows of the full context that advance by `stride` tokens; each token is scored once, by the first window
in which it is a target. So a token has at least `context_length - stride` tokens before it wherever the text has
them. A text that fits is one window.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs

from codex_core.errors import UsageError


@attrs.frozen
class Window:
    """A row for the model; the last `num_scored` of its log-probabilities are new."""

    row: Sequence[int]
    num_scored: int


@attrs.frozen(kw_only=True)
class Cutter:
    """Cuts texts for one model; `None` for both lengths means that a text is never cut."""

    context_length: int | None
    stride: int | None

    def windows(self, ids: Sequence[int]) -> Iterator[Window]:
        """The windows of one text, in reading order; none for one token alone, which is only context."""
        if self.context_length is None or self.stride is None or len(ids) <= self.context_length:
            if len(ids) > 1:
                yield Window(ids, len(ids) - 1)
            return
        end = self.context_length
        yield Window(ids[:end], end - 1)
        while end < len(ids):
            scored, end = end, min(len(ids), end + self.stride)
            yield Window(ids[end - self.context_length : end], end - scored)

    def rule(self) -> str:
        """The part of a signature that says how texts were conditioned and cut."""
        return f"first token:context|window:{self.context_length or 'text'}|stride:{self.stride or 'text'}"


def cutter(context_length: int | None, *, stride: int | None = None) -> Cutter:
    """A cutter for a model; without a stride each token sees at least half a context.

    Raises `UsageError` for a stride that leaves a token without any context.
    """
    if context_length is None:
        return Cutter(context_length=None, stride=None)
    stride = max(1, context_length // 2) if stride is None else stride
    if not 1 <= stride < context_length:
        raise UsageError(
            code="EVL-002",
            what=f"a stride of {stride} does not fit a context of {context_length} tokens",
            why="each scored token needs a token before it in its window",
            fix="choose a stride from 1 to the context length minus 1",
        )
    return Cutter(context_length=context_length, stride=stride)

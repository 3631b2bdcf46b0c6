"""Prompts in, safe text out: what `generate`, its chat and `demo` share.

Decisions: text is shown as soon as nothing can change it any more: an unfinished character, the beginning of a stop
string and what the safety policy still looks at are held back; a stop string is found in what the model made, before
safety, wherever tokens break it; a prompt that is over costs nothing more once all others are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import attrs

from codex_core.cli.models import OpenedModel
from codex_core.cli.output import say
from codex_core.contracts import SafetyPolicy, SafetyStream, Tokenizer
from codex_core.errors import InputError
from codex_core.records import GenerationSettings, Record
from codex_core.rendering import prompt_ids, stop_ids


@attrs.frozen(kw_only=True)
class Completion:
    """A continued prompt: its text after safety, tokens made, why it ended, and how many rules matched."""

    prompt: str
    text: str
    tokens: int
    finish_reason: str
    matches: int


@attrs.frozen(kw_only=True)
class Shown:
    """Further text of prompt number `index`; `completion` comes with the last one."""

    index: int
    text: str
    completion: Completion | None = None


def continued(
    opened: OpenedModel,
    records: Sequence[Record],
    settings: GenerationSettings,
    *,
    policy: SafetyPolicy | None,
    stop: Sequence[str] = (),
    truncate: bool = False,
) -> Iterator[Shown]:
    """Continue records, and give their text as it comes; every record ends with exactly one completion.

    Raises `InputError` for a prompt longer than the context, unless `truncate` cuts it at its beginning, aloud.
    """
    tokenizer = opened.tokenizer
    limit = opened.model.context_length
    context = [
        fitted(
            prompt_ids(tokenizer, record),
            number,
            limit=limit,
            new=settings.max_new_tokens if truncate else None,
        )
        for number, record in enumerate(records, start=1)
    ]
    settings = attrs.evolve(settings, stop_ids=(*settings.stop_ids, *_ends(tokenizer, records)))
    texts = [TextStream(tokenizer, policy.stream("output") if policy else None, stop) for _ in records]
    waiting = len(texts)
    for chunk in opened.model.generate(context, settings):
        text = texts[chunk.index]
        if text.is_over:
            continue
        piece = text.push(chunk.ids, chunk.finish_reason)
        if text.is_over:
            waiting -= 1
            completion = text.completion(records[chunk.index].text)
            yield Shown(index=chunk.index, text=piece, completion=completion)
        elif piece:
            yield Shown(index=chunk.index, text=piece)
        if not waiting:
            return


def completions(
    opened: OpenedModel,
    records: Sequence[Record],
    settings: GenerationSettings,
    *,
    policy: SafetyPolicy | None,
    stop: Sequence[str] = (),
    truncate: bool = False,
) -> Iterator[Completion]:
    """The completions of records in their order, each as soon as those before it are there."""
    done: dict[int, Completion] = {}
    turn = 0
    for shown in continued(opened, records, settings, policy=policy, stop=stop, truncate=truncate):
        if shown.completion is not None:
            done[shown.index] = shown.completion
        while turn in done:
            yield done.pop(turn)
            turn += 1


def fitted(ids: Sequence[int], number: int, *, limit: int | None, new: int | None) -> tuple[int, ...]:
    """Ids that leave room for at least one more token; longer ones are refused.

    With `new` they are cut at their beginning, behind the first, aloud: room for so many tokens is made, but at
    least half of the context is kept.
    """
    if limit is None or len(ids) < limit:
        return tuple(ids)
    if new is None:
        raise InputError(
            code="GEN-001",
            what=f"prompt {number} has {len(ids)} tokens and the model's context is {limit}",
            why="the context holds the prompt and what is made",
            fix="shorten the prompt, or --truncate-prompt cuts its beginning",
        )
    kept = max(limit - new, limit // 2, 1)
    say(f"prompt {number} has {len(ids)} tokens: read its last {kept} only (the context is {limit})")
    return (ids[0], *ids[len(ids) - kept + 1 :])


class TextStream:
    """Ids in, safe text out, up to a stop string."""

    def __init__(self, tokenizer: Tokenizer, safety: SafetyStream | None, stop: Sequence[str] = ()) -> None:
        self._tokenizer = tokenizer
        self._safety = safety
        self._stop = tuple(stop)
        self._ids: list[int] = []
        self._num_pushed = 0
        self._shown: list[str] = []
        self._reason: str | None = None
        self._num_matches = 0

    @property
    def is_over(self) -> bool:
        """Whether nothing more is to come."""
        return self._reason is not None

    def push(self, ids: Iterable[int], finish_reason: str | None) -> str:
        """Take ids, give the text that may be shown now."""
        self._ids.extend(ids)
        whole = self._tokenizer.decode(self._ids)
        found = [place for stop in self._stop if (place := whole.find(stop)) >= 0]
        if found:
            whole, finish_reason = whole[: min(found)], "stop"
        end = len(whole) if finish_reason else self._settled(whole)
        piece, self._num_pushed = whole[self._num_pushed : end], max(self._num_pushed, end)
        shown = self._safety.push(piece) if self._safety else piece
        if finish_reason:
            self._reason = finish_reason
            shown += self._rest()
        self._shown.append(shown)
        return shown

    def _settled(self, whole: str) -> int:
        """How much of a text no further token can change: no half character, no beginning of a stop string."""
        end = len(whole.rstrip("\ufffd"))
        for stop in self._stop:
            for length in range(min(len(stop) - 1, end), 0, -1):
                if whole.endswith(stop[:length], 0, end):
                    end -= length
                    break
        return end

    def _rest(self) -> str:
        if self._safety is None:
            return ""
        rest, matches = self._safety.close()
        self._num_matches = len(matches)
        return rest

    def completion(self, prompt: str) -> Completion:
        """What became of a prompt, once it is over."""
        assert self._reason is not None, "a completion is asked for at its end"
        return Completion(
            prompt=prompt,
            text="".join(self._shown),
            tokens=len(self._ids),
            finish_reason=self._reason,
            matches=self._num_matches,
        )


def _ends(tokenizer: Tokenizer, records: Sequence[Record]) -> tuple[int, ...]:
    """The ids after which records are over: EOS, and for conversations what their template closes an answer with."""
    is_plain = all(turn.role == "text" for record in records for turn in record.turns)
    return (tokenizer.special_ids["eos"],) if is_plain else stop_ids(tokenizer)

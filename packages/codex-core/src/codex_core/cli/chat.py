"""A conversation with a model: turns in, answers out, the history kept.

Decisions: what the model reads is the rendering that training uses (`rendering.prompt_ids`); a history that does not
fit any more loses its oldest turns, never the system's, and that is told; a blocked turn is told and forgotten, and
the exit code says that there was one. Answers go to stdout, everything else to stderr, so a conversation can be piped.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

import attrs
import click

from codex_core.cli.continuing import continued
from codex_core.cli.models import OpenedModel
from codex_core.cli.output import say
from codex_core.cli.safety_gate import admitted
from codex_core.contracts import SafetyPolicy
from codex_core.errors import ExitCode, InputError, RunFailed
from codex_core.records import GenerationSettings, Record, Turn
from codex_core.rendering import prompt_ids

HINT = "one line is one turn; /reset begins anew, /exit or end of input ends"


@attrs.define(kw_only=True)
class Chat:
    """A model, how it answers, and what was said."""

    opened: OpenedModel
    settings: GenerationSettings
    policy: SafetyPolicy | None
    stop: tuple[str, ...] = ()
    system: str | None = None
    turns: list[Turn] = attrs.field(factory=list)
    num_blocked: int = 0

    def run(self, lines: Iterable[str]) -> int:
        """Answer every line; returns the exit code."""
        self.reset()
        for line in lines:
            text = line.rstrip("\r\n")
            if text == "/exit":
                break
            if text == "/reset":
                self.reset()
                say("the conversation begins anew")
            elif text.strip():
                self.answer(text)
        return int(ExitCode.NO if self.num_blocked else ExitCode.OK)

    def reset(self) -> None:
        """Forget everything but the system's turn."""
        self.turns = [] if self.system is None else [Turn("system", self.system, learn=False)]

    def answer(self, text: str) -> None:
        """Read a turn, show the answer as it comes, remember both."""
        asked = Record(id="turn", turns=(Turn("user", text, learn=False),), source=("chat", 1))
        try:
            (turn,) = admitted(asked, self.policy).turns
        except RunFailed as error:
            self.num_blocked += 1
            say(str(error))
            return
        self.turns.append(turn)
        said: list[str] = []
        for shown in continued(
            self.opened, [self._fitting()], self.settings, policy=self.policy, stop=self.stop
        ):
            click.echo(shown.text, nl=False)
            said.append(shown.text)
        click.echo()
        self.turns.append(Turn("assistant", "".join(said), learn=False))

    def _fitting(self) -> Record:
        """The conversation, without its oldest turns where it is too long to be answered."""
        limit = self.opened.model.context_length
        num_dropped = 0
        while True:
            record = Record(id="chat", turns=tuple(self.turns), source=("chat", 1))
            length = len(prompt_ids(self.opened.tokenizer, record))
            if limit is None or length + min(self.settings.max_new_tokens, limit // 4) <= limit:
                break
            first = 1 if self.turns[0].role == "system" else 0
            if first >= len(self.turns) - 1:
                if length < limit:
                    break
                self.turns.pop()
                raise InputError(
                    code="GEN-001",
                    what=f"this turn has {length} tokens and the model's context is {limit}",
                    fix="write a shorter one",
                )
            del self.turns[first]
            num_dropped += 1
        if num_dropped:
            say(
                f"the oldest {num_dropped} turn(s) no longer fit the context of {limit} tokens and are left out"
            )
        return record


def typed_lines() -> Iterator[str]:
    """What is typed, with a prompt on a terminal."""
    is_terminal = sys.stdin.isatty()
    if is_terminal:
        say(HINT)
    while True:
        if is_terminal:
            print("> ", end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if not line:
            return
        yield line

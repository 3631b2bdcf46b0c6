"""Where chat templates are rendered: Jinja in a sandbox, over stand-ins instead of what people said.

Decisions: a template never sees the content of a message, only a stand-in of private characters; so its rendering
depends on the roles alone, and no content can change it, imitate its markers or be changed by it. What is rendered
is cut off at a limit while it streams. No loaders, no clock, no randomness: the same roles give the same text.
Started as a module, this is a child process with limits on memory and time that answers one JSON line per line:
`{"source", "roles", "tokens"}` gives `{"text", "starts", "marked"}`, or `{"refused"}` with the reason.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.exceptions import SecurityError, TemplateError
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from codex_tokenizers.stand_ins import CLOSE, MARK_OFF, MARK_ON, OPEN, Refused, stand_in

MAX_SOURCE_CHARACTERS = 1 << 18
MAX_OUTPUT_CHARACTERS = 1 << 20
MAX_MEMORY_BYTES = 1 << 30


class Generation(Extension):
    """`{% generation %}...{% endgeneration %}`: what a model is to generate, as templates of others mark it."""

    tags = {"generation"}  # noqa: RUF012 - jinja2 declares it so

    def parse(self, parser: Parser) -> nodes.Node:
        """The block, with a mark on either side."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_marked"), [], [], body).set_lineno(line)

    def _marked(self, caller: Any) -> str:
        return f"{MARK_ON}{caller()}{MARK_OFF}"


def skeleton(source: str, roles: Sequence[str], tokens: Mapping[str, str]) -> dict[str, Any]:
    """The rendering of a conversation with stand-ins, and where each answer of `assistant` starts.

    `tokens` are spellings such as `eos_token`. Raises `Refused` for templates that fail, run on, drop or move
    content, or render the beginning of a conversation in another way than the conversation.
    """
    template = _compiled(source)
    messages = [{"role": role, "content": stand_in(number)} for number, role in enumerate(roles)]
    text = _rendered(template, messages, tokens, prompt=False)
    _refuse_lost_content(text, len(messages))
    answers = [number for number, role in enumerate(roles) if role == "assistant"]
    marked = MARK_ON in text
    starts = []
    for number in answers:
        whole = _rendered(template, messages[: number + 1], tokens, prompt=False)
        if marked:
            start = text.rfind(MARK_ON, 0, text.index(stand_in(number)))
            head = text[: start + 1]
            if start < 0 or MARK_OFF in text[start : text.index(stand_in(number))]:
                raise Refused(f"its generation marks leave out the answer in message {number + 1}")
        else:
            head = _rendered(template, messages[:number], tokens, prompt=True)
        if not text.startswith(head) or not whole.startswith(head) or stand_in(number) in head:
            raise Refused(
                f"the conversation up to message {number + 1} is not how the whole conversation begins, so that "
                "a model would be trained on another text than it is asked to continue"
            )
        starts.append(len(head))
    return {"text": text, "starts": starts, "marked": marked}


def _compiled(source: str) -> jinja2.Template:
    if len(source) > MAX_SOURCE_CHARACTERS:
        raise Refused(f"it has more than {MAX_SOURCE_CHARACTERS} characters")
    if any(character in source for character in (OPEN, CLOSE, MARK_ON, MARK_OFF)):
        raise Refused("it holds private characters that stand for content")
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, "jinja2.ext.loopcontrols"], loader=None
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise_exception
    try:
        return environment.from_string(source)
    except (TemplateError, RecursionError) as error:
        raise Refused(_reason(error)) from error


def _rendered(
    template: jinja2.Template,
    messages: Sequence[Mapping[str, str]],
    tokens: Mapping[str, str],
    *,
    prompt: bool,
) -> str:
    pieces = template.generate(
        messages=[dict(message) for message in messages],
        add_generation_prompt=prompt,
        tools=None,
        documents=None,
        **tokens,
    )
    try:
        return "".join(_limited(pieces))
    except Refused:
        raise
    except MemoryError as error:
        raise Refused("it needs too much memory") from error
    except Exception as error:  # a template may raise anything: division by zero, wrong types
        raise Refused(_reason(error)) from error


def _limited(pieces: Iterator[str]) -> Iterator[str]:
    length = 0
    for piece in pieces:
        length += len(piece)
        if length > MAX_OUTPUT_CHARACTERS:
            raise Refused(f"it renders more than {MAX_OUTPUT_CHARACTERS} characters")
        yield piece


def _refuse_lost_content(text: str, num_messages: int) -> None:
    places = [text.find(stand_in(number)) for number in range(num_messages)]
    for number, place in enumerate(places):
        if place < 0:
            raise Refused(f"it leaves out the content of message {number + 1}, or changes it")
        if text.count(stand_in(number)) > 1:
            raise Refused(f"it renders the content of message {number + 1} more than once")
    if places != sorted(places):
        raise Refused("it renders messages in another order")


def _raise_exception(message: str) -> None:
    raise TemplateError(message)


def _to_json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _reason(error: BaseException) -> str:
    if isinstance(error, SecurityError):
        return f"the sandbox forbids it: {error}"
    line = getattr(error, "lineno", None)
    return f"{type(error).__name__}: {error}" + (f" (line {line})" if line else "")


def _answer(request: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return skeleton(request["source"], request["roles"], request["tokens"])
    except Refused as error:
        return {"refused": str(error)}
    except MemoryError:
        return {"refused": "it needs too much memory"}


def _limit_this_process() -> None:
    try:
        import resource
    except ImportError:  # Windows: time is still bounded, from outside
        return
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    most = MAX_MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(hard, MAX_MEMORY_BYTES)
    try:
        resource.setrlimit(resource.RLIMIT_AS, (most, hard))
    except (OSError, ValueError):  # systems that bound no address space: time and output are still bounded
        return


def main() -> None:
    """Answer requests until there are no more."""
    _limit_this_process()
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_answer(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()

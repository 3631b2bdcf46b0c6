"""Core's own small scrubber: what must never reach a journal, a configuration copy or a report.

Decisions: it runs once, where a record is made, ahead of every sink. It knows three things: the values of
environment variables whose names sound secret, user information in URLs, and the values of command-line options
whose names sound secret. It judges values and option names, never keys, so `tokens: 40` stays. Whatever is more
subtle is the safety engine's work.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

REDACTED = "[redacted]"

#: Names of variables and options whose values are secret, as whole words between `_` and `-`. `tokens` counts
#: something and `eos_token` is text; `token` lets somebody in; `PWD` is a folder.
SECRET_NAME = re.compile(
    r"(?:^|[_-])(?:secrets?|(?<!bos.)(?<!eos.)(?<!pad.)(?<!unk.)token|passwords?|passwd|passphrase|"
    r"(?<=[_-])pwd|credentials?|auth|"
    r"api[_-]?keys?|access[_-]?keys?|private[_-]?keys?|secret[_-]?keys?)(?:$|[_-])",
    re.IGNORECASE,
)

#: Shorter values are words that may stand in any text; replacing them would garble records.
MIN_SECRET_CHARACTERS = 8

_URL_USER = re.compile(r"(?<=://)[^/\s@]+(?=@)")


@attrs.frozen
class Scrubber:
    """Replaces known secret values and URL user information in texts, at any depth of a record."""

    secrets: tuple[str, ...] = ()

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Scrubber:
        """The scrubber for an environment: it knows the values of variables with secret-like names."""
        found = {
            value
            for name, value in environ.items()
            if SECRET_NAME.search(name) and len(value) >= MIN_SECRET_CHARACTERS
        }
        return cls(tuple(sorted(found, key=lambda value: (-len(value), value))))

    def text(self, text: str) -> str:
        """`text` without secrets.

        >>> Scrubber(("hunter2hunter2",)).text("https://me:pw@host/x hunter2hunter2")
        'https://[redacted]@host/x [redacted]'
        """
        for secret in self.secrets:
            text = text.replace(secret, REDACTED)
        return _URL_USER.sub(REDACTED, text)

    def __call__(self, value: Any) -> Any:
        """A copy of plain values with every text in it scrubbed, keys included."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self(key): self(held) for key, held in value.items()}
        if isinstance(value, (list, tuple)):
            return [self(held) for held in value]
        return value

    def command(self, arguments: Sequence[str]) -> list[str]:
        """A command line without secrets: values of options such as `--api-key` are replaced too."""
        shown: list[str] = []
        is_secret_next = False
        for argument in arguments:
            name, equals, _ = argument.partition("=")
            is_secret = bool(SECRET_NAME.search(name.lstrip("-").rpartition(".")[2]))
            if is_secret_next and not argument.startswith("-"):
                shown.append(REDACTED)
            elif equals and is_secret:
                shown.append(f"{name}={REDACTED}")
            else:
                shown.append(self.text(argument))
            is_secret_next = argument.startswith("--") and not equals and is_secret
        return shown

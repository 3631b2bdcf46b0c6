"""What a template sees instead of what people said, and what it is refused with."""

from __future__ import annotations

#: Around the number of a message, in place of its content; and around what a template marks as generated.
OPEN, CLOSE, MARK_ON, MARK_OFF = "\U000f0000", "\U000f0001", "\U000f0002", "\U000f0003"


class Refused(Exception):
    """A template or a conversation that cannot be rendered, with the reason."""


def stand_in(number: int) -> str:
    """What a template sees instead of the content of a message."""
    return f"{OPEN}{number}{CLOSE}"

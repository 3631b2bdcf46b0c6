"""Tasks for helper processes: they compute, fail, die, or cannot be handed on."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import attrs

from codex_core.errors import InputError


@attrs.frozen
class Square:
    """Gives the square and the process that computed it; `prints` writes to standard output first."""

    prints: bool = False

    def __call__(self, number: int) -> list[int]:
        """The square of a number."""
        if self.prints:
            print("a library talks", flush=True)
        return [number * number, os.getpid()]


@attrs.frozen
class Failing:
    """Fails for the numbers in `wrong`, with an error of ours or with another one."""

    wrong: tuple[int, ...]
    is_ours: bool = True

    def __call__(self, number: int) -> int:
        """The number, unless it is a wrong one."""
        if number not in self.wrong:
            return number
        if self.is_ours:
            raise InputError(code="DAT-004", what="a row is wrong", where=f"rows:{number}", fix="repair it")
        raise ZeroDivisionError(f"number {number}")


@attrs.frozen
class Dying:
    """Ends every process but the one that it was made in."""

    parent: int

    def __call__(self, number: int) -> int:
        """The number, in the parent."""
        if os.getpid() != self.parent:
            os._exit(9)
        sys.stdout.flush()
        return number


class Local:
    """Holds what no other process can have."""

    def __init__(self) -> None:
        self.function: Callable[[int], Any] = lambda number: -number

    def __call__(self, number: int) -> Any:
        """What the function gives."""
        return self.function(number)

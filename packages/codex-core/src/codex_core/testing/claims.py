"""How a suite says that a promise is broken."""

from __future__ import annotations

from collections.abc import Callable

from codex_core.errors import CodexError


def claim(holds: bool, sentence: str) -> None:
    """Raise `AssertionError` with `sentence` unless it holds; unlike `assert` this also works under `python -O`."""
    if not holds:
        raise AssertionError(sentence)


def refuses(act: Callable[[], object], error: type[CodexError], sentence: str) -> None:
    """Raise `AssertionError` with `sentence` unless `act` raises `error`."""
    try:
        act()
    except error:
        return
    except Exception as other:  # a component may raise anything; it becomes the finding
        raise AssertionError(f"{sentence}, but got {type(other).__name__}: {other}") from other
    raise AssertionError(f"{sentence}, but nothing was raised")

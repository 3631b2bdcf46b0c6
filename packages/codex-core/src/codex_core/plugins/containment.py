"""Run plugin code and hold whatever it raises; only an interrupt that the user sent passes through.

Decision: what plugin code prints meanwhile goes to standard error, so that the result on standard output still parses.

This module is on the path of `load_component`: it imports next to nothing.
"""

from __future__ import annotations

import signal
import sys
from _thread import allocate_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType, TracebackType
    from typing import Any


#: What stood at `sys.stdout`, once per block under way in any thread; the first one is the real one.
_outputs: list[Any] = []
_lock = allocate_lock()


class Contained(Exception):
    """Whatever plugin code raised, `SystemExit` and its own `KeyboardInterrupt` included."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(type(error).__name__)
        self.error = error


class contained:
    """Run plugin code: what it raises comes out as `Contained`, what the user sends (Ctrl-C) as it is."""

    def __enter__(self) -> None:
        self._sent: list[int] = []
        self._previous = _listen(self._sent)
        with _lock:
            _outputs.append(sys.stdout)
            sys.stdout = sys.stderr

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with _lock:
            output = _outputs.pop()
            if not _outputs:
                sys.stdout = output
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)
        if error is None or (isinstance(error, KeyboardInterrupt) and self._sent):
            return
        from codex_core.errors import Interrupted

        if not isinstance(error, Interrupted):  # a signal, as the command line hears it
            raise Contained(error) from error


def _listen(sent: list[int]) -> Any:
    """Note interrupts on their way to the present handler; returns it, None where handlers cannot be set."""
    present = signal.getsignal(signal.SIGINT)
    if not callable(present):
        return None

    def note(number: int, frame: FrameType | None) -> Any:
        sent.append(number)
        return present(number, frame)

    try:
        signal.signal(signal.SIGINT, note)
    except ValueError:  # not the main thread
        return None
    return present

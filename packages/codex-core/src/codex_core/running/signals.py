"""Stopping in order: the first SIGINT or SIGTERM asks, the second one insists.

Decisions: a signal outside `deferred()` stops at once, because nothing is gained by waiting; within it (while steps
are made) the first one only sets a mark that the trainer looks at after each step, and the second stops at once.
What a stop at once leaves behind is as safe as a kill. Handlers do nothing but set marks and raise.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from codex_core.errors import Interrupted

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """Whether to stop, and why; calling it answers the trainer's question (`contracts.ShouldStop`).

    `on_deferred` is called with the signal's number when a first signal has been noted; it must be quick and may
    only write to a descriptor.
    """

    def __init__(self, on_deferred: Callable[[int], None] | None = None) -> None:
        #: The signal that asked to stop, None while nobody did.
        self.number: int | None = None
        #: Asked after each step: why to stop where no signal asked, None to go on.
        self.when: Callable[[], str | None] | None = None
        #: What it said.
        self.reason: str | None = None
        self._is_deferring = False
        self._on_deferred = on_deferred

    def __call__(self) -> bool:
        """Whether somebody asked to stop."""
        self.reason = None if self.when is None else self.when()
        return self.number is not None or self.reason is not None

    def request(self, number: int = signal.SIGINT) -> None:
        """Ask to stop as signal `number` does; raises `Interrupted` when that means at once."""
        is_first, self.number = self.number is None, number
        if not (self._is_deferring and is_first):
            raise Interrupted(signal_number=number, what=f"stopped by {signal.Signals(number).name}")
        if self._on_deferred is not None:
            self._on_deferred(number)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Within, a first request waits for the end of the step."""
        self._is_deferring = True
        try:
            yield
        finally:
            self._is_deferring = False


@contextmanager
def listening(on_deferred: Callable[[int], None] | None = None) -> Iterator[Stop]:
    """A `Stop` that SIGINT and SIGTERM reach; the handlers before it are put back at the end. Main thread only."""
    stop = Stop(on_deferred)

    def handle(number: int, frame: FrameType | None) -> None:
        stop.request(number)

    before = {number: signal.signal(number, handle) for number in STOP_SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)

"""A piece of work that goes on beside the training, at most one at a time.

Decision: whatever it raises is kept and raised again by `wait`, on the thread that asked for it, a kill of the crash
kit included; nothing that failed beside the training can go unseen.
"""

from __future__ import annotations

import threading
from collections.abc import Callable


class InFlight:
    """Work on a thread of its own; the process does not wait for it when it ends otherwise."""

    def __init__(self, work: Callable[[], None], *, name: str) -> None:
        self._work = work
        self._raised: BaseException | None = None
        self._given_up = threading.Event()
        self._has_ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin, on a thread of its own."""
        self._thread.start()

    def run_here(self) -> None:
        """Do the work now, on the thread of the caller; `wait` raises what it raised."""
        self._run()

    @property
    def is_done(self) -> bool:
        """Whether it has ended, well or not."""
        return self._has_ended.is_set()

    @property
    def is_wanted(self) -> bool:
        """What the work asks before each part: False once it was given up."""
        return not self._given_up.is_set()

    def give_up(self) -> None:
        """Ask the work to stop at its next part."""
        self._given_up.set()

    def wait(self) -> None:
        """Wait for the end; raises what the work raised."""
        self._has_ended.wait()
        if self._raised is not None:
            raise self._raised

    def _run(self) -> None:
        try:
            self._work()
        except BaseException as error:  # noqa: BLE001 - kept, and raised by `wait` on the thread that asked
            self._raised = error
        finally:
            self._has_ended.set()

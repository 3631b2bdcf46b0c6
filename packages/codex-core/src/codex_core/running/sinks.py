"""The pump: metric rows to writers, on one thread that trainers never wait for.

Decisions: the queue is bounded and never blocks; rows that find it full are counted and told, since every writer
can be fed again from the journal. A writer that raises, says it is not usable, does not acknowledge or does not
return is disabled and reported; reports wait in `events` for the thread that asks, so nothing is emitted from the
sink thread.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Self

from codex_core.contracts import RunInfo, Writer
from codex_core.events import Event, Warned, WriterDisabled

#: Rows that may wait; at one row per logged step this is far more than a live writer leaves unread.
CAPACITY = 4096

#: How long a stop waits for writers to finish, in seconds.
STOP_WAIT_S = 10.0

_FLUSH, _STOP = object(), object()


class _Fed:
    """One writer and how far it got."""

    def __init__(self, name: str, writer: Writer) -> None:
        self.name, self.writer = name, writer
        self.is_open = False
        self.written = self.acknowledged = 0


class Pump:
    """Drives writers; a context manager that stops and joins its thread whatever happens within.

    `put` and `flush` return at once. `events()` gives what has happened since the last call.
    """

    def __init__(
        self,
        writers: Sequence[tuple[str, Writer]],
        run: RunInfo,
        *,
        capacity: int = CAPACITY,
        stop_wait_s: float = STOP_WAIT_S,
    ) -> None:
        self._run, self._stop_wait_s = run, stop_wait_s
        self._fed = [_Fed(name, writer) for name, writer in writers]
        self._queue: queue.Queue[Any] = queue.Queue(maxsize=capacity)
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._sequence = self._lost = 0
        self._busy: _Fed | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        if self._fed:
            self._thread = threading.Thread(target=self._work, name="codex-sinks", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def put(self, row: Mapping[str, Any]) -> None:
        """Hand a row to the writers."""
        if self._thread is None:
            return
        self._sequence += 1
        try:
            self._queue.put_nowait((self._sequence, dict(row)))
        except queue.Full:
            self._lost += 1
            if self._lost == 1:
                self._tell("the writers do not keep up; rows that find the queue full do not reach them")

    def flush(self) -> None:
        """Ask the writers to make rows durable, when the thread gets to it."""
        try:
            if self._thread is not None:
                self._queue.put_nowait(_FLUSH)
        except queue.Full:
            pass  # a full queue is being worked on, and told by `put`

    def stop(self) -> None:
        """Let the writers finish and close, and join the thread; stopping twice is harmless."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        try:
            self._queue.put(_STOP, timeout=self._stop_wait_s)
        except queue.Full:
            pass
        thread.join(self._stop_wait_s)
        if thread.is_alive():
            name = self._busy.name if self._busy is not None else "writers"
            self._disable(name, f"it did not return within {self._stop_wait_s:g} s")
        if self._lost:
            self._tell(f"{self._lost} rows did not reach the writers; the journal holds them")

    def events(self) -> list[Event]:
        """What is to be reported, oldest first; each is given once."""
        found = []
        while not self._events.empty():
            found.append(self._events.get())
        return found

    def _work(self) -> None:
        self._each(self._open)
        while (item := self._queue.get()) is not _STOP:
            if item is _FLUSH:
                self._each(self._flush)
            else:
                sequence, row = item
                self._each(partial(_write, row=row, sequence=sequence))
        self._each(self._flush)
        self._each(_close)

    def _each(self, act: Callable[[_Fed], None]) -> None:
        """Do something with every writer; one that fails is disabled, closed once and receives nothing more."""
        for fed in tuple(self._fed):
            self._busy = fed
            try:
                act(fed)
            except BaseException as error:  # noqa: BLE001 -- whatever a writer raises, SystemExit included
                self._fed.remove(fed)
                self._disable(fed.name, str(error) or type(error).__name__)
                self._close_failed(fed)
            self._busy = None

    def _open(self, fed: _Fed) -> None:
        if (problem := fed.writer.probe()) is not None:
            raise RuntimeError(problem)
        fed.writer.open(self._run)
        fed.is_open = True

    def _flush(self, fed: _Fed) -> None:
        fed.acknowledged = fed.writer.flush()
        if fed.acknowledged < fed.written:
            raise RuntimeError(f"it acknowledged row {fed.acknowledged} of {fed.written}")

    def _close_failed(self, fed: _Fed) -> None:
        try:
            _close(fed)
        except BaseException:  # noqa: BLE001 -- the failure itself is reported; this is only a release
            pass

    def _disable(self, name: str, reason: str) -> None:
        self._events.put(WriterDisabled(name=name, reason=reason))

    def _tell(self, text: str) -> None:
        self._events.put(Warned(code="RUN-014", text=text))


def _write(fed: _Fed, *, row: Mapping[str, Any], sequence: int) -> None:
    fed.writer.write(row, sequence)
    fed.written = sequence


def _close(fed: _Fed) -> None:
    """Close a writer that is open, once."""
    was_open, fed.is_open = fed.is_open, False
    if was_open:
        fed.writer.close()

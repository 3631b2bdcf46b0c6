"""Numbered tasks, done by this process and by helpers beside it.

Decisions: helpers are fresh interpreters (no fork, so no thread or lock is inherited, and nothing of the caller's main
module runs again); this process works, too, so that one helper less has to start; numbers are handed out in rising
order, and of several failures the one with the lowest number is raised, so that an error does not depend on the
number of workers. Helpers end when this process does: their standard input closes.
"""

from __future__ import annotations

import json
import os
import pickle
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import IO, Any, Protocol

from codex_core import errors
from codex_core.contracts import Emit
from codex_core.errors import CodexError, RunFailed
from codex_core.events import Warned

#: A helper takes about as long to start as such a number of tasks: fewer are done here.
_TASKS_PER_WORKER = 2

#: Helpers are the parallelism: their libraries shall not start threads of their own.
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}

_MODULE = "codex_core.data.helper"


class Task(Protocol):
    """Work that can be pickled; called with a number, gives something that JSON can hold."""

    def __call__(self, number: int) -> Any:
        """Do one piece."""


def run(
    task: Task,
    numbers: Sequence[int],
    *,
    workers: int,
    on_done: Callable[[Any], None],
    on_event: Emit,
    meanwhile: Callable[[], None] | None = None,
) -> None:
    """Do `task` for all numbers; `on_done` is called in this thread with each result, in no fixed order.

    `meanwhile` is done by this process before it joins in, beside the helpers if there are any.
    """
    num_helpers = min(workers, len(numbers) // _TASKS_PER_WORKER) - 1
    pickled = _pickled(task, on_event) if num_helpers > 0 else None
    if pickled is None:
        if meanwhile is not None:
            meanwhile()
        for each in numbers:
            on_done(task(each))
        return
    desk = _Desk(numbers)
    with _helpers(desk, pickled, num_helpers) as threads:
        if meanwhile is not None:
            meanwhile()
        while (number := desk.take()) is not None:
            try:
                desk.results.put(task(number))
            except Exception as error:  # noqa: BLE001 - kept; of all failures the first in order is raised below
                desk.fail(number, error)
            _drain(desk, on_done)
        for thread in threads:
            while thread.is_alive():
                thread.join(timeout=0.1)
                _drain(desk, on_done)
        _drain(desk, on_done)
    desk.raise_first()


def _pickled(task: Task, on_event: Emit) -> bytes | None:
    try:
        return pickle.dumps(task)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        on_event(
            Warned(
                code="DAT-033", text=f"one process does the work: a component cannot be handed on ({error})"
            )
        )
        return None


def _drain(desk: _Desk, on_done: Callable[[Any], None]) -> None:
    with suppress(queue.Empty):
        while True:
            on_done(desk.results.get_nowait())


class _Desk:
    """Hands out numbers, takes results and failures; used by several threads."""

    def __init__(self, numbers: Sequence[int]) -> None:
        self.results: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._numbers = iter(numbers)
        self._failures: dict[int, Exception] = {}
        self._lock = threading.Lock()

    def take(self) -> int | None:
        """The next number; None when there is none, or when something failed (all lower ones are taken by then)."""
        with self._lock:
            return None if self._failures else next(self._numbers, None)

    def fail(self, number: int, error: Exception) -> None:
        """Keep a failure."""
        with self._lock:
            self._failures[number] = error

    def raise_first(self) -> None:
        """Raise the failure with the lowest number, if there is any."""
        if self._failures:
            raise self._failures[min(self._failures)]


@contextmanager
def _helpers(desk: _Desk, pickled: bytes, count: int) -> Iterator[list[threading.Thread]]:
    """Threads that each serve a helper process; whatever happens, no helper outlives this block."""
    command = [sys.executable, *subprocess._args_from_interpreter_flags(), "-m", _MODULE]  # type: ignore[attr-defined]
    environ = {**os.environ, **_ONE_THREAD}
    helpers: list[subprocess.Popen[bytes]] = []
    threads: list[threading.Thread] = []
    try:
        for _ in range(count):
            helper = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ)
            helpers.append(helper)
            thread = threading.Thread(target=_serve, args=(helper, desk, pickled), daemon=True)
            thread.start()
            threads.append(thread)
        yield threads
    except BaseException:  # an interrupt, too, must not leave helpers at work; raised again
        for helper in helpers:
            helper.kill()
        raise
    finally:
        for helper in helpers:
            with suppress(OSError):
                _pipe(helper.stdin).close()
            helper.wait()
        for thread in threads:
            thread.join()
        for helper in helpers:
            _pipe(helper.stdout).close()


def _serve(helper: subprocess.Popen[bytes], desk: _Desk, pickled: bytes) -> None:
    """Give numbers to a helper one by one and take its answers."""
    number: int | None = None
    try:
        to_helper, from_helper = _pipe(helper.stdin), _pipe(helper.stdout)
        to_helper.write(json.dumps({"path": sys.path, "bytes": len(pickled)}).encode() + b"\n" + pickled)
        while (number := desk.take()) is not None:
            to_helper.write(b"%d\n" % number)
            to_helper.flush()
            if not (line := from_helper.readline()):
                break
            answer = json.loads(line)
            if "done" in answer:
                desk.results.put(answer["done"])
            else:
                desk.fail(number, _failure(answer))
        else:
            return
    except (OSError, ValueError):
        pass  # the helper is gone: told below
    if number is not None:
        desk.fail(number, _died(helper))


def _died(helper: subprocess.Popen[bytes]) -> CodexError:
    status = helper.wait()
    return RunFailed(
        code="DAT-030",
        what="a helper process ended before its work was done",
        why=f"it ended with status {status}" + ("; the system may be out of memory" if status == -9 else ""),
        fix="run the command again, with --workers 1 if memory is short: finished parts are kept",
    )


def _failure(answer: dict[str, Any]) -> Exception:
    """The error that a helper met: one of ours as it was, any other with its traceback."""
    if "error" not in answer:
        return HelperError(answer.get("crash", "no reason was told"))
    told = answer["error"]
    cls = getattr(errors, told.pop("class"), CodexError)
    error: CodexError = cls(**told)
    return error


class HelperError(RuntimeError):
    """A helper met an error that is none of ours; the text is its traceback."""


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None, "helpers are started with pipes"
    return stream

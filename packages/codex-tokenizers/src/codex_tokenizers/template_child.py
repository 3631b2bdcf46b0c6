"""The process in which chat templates of others run: asked by line, stopped when it takes too long.

Decisions: one child per process that renders, started at the first conversation and kept; a child that does not
answer in time is killed, which stops any loop; a forked process starts a child of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

from codex_tokenizers.stand_ins import Refused

#: A conversation takes milliseconds; this is what a busy machine may add.
LIMIT_S = 10.0


class Renderer:
    """Asks a child process for skeletons; safe to share between threads, and after a fork."""

    def __init__(self, *, limit_s: float = LIMIT_S) -> None:
        self._limit_s = limit_s
        self._lock = threading.Lock()
        self._child: subprocess.Popen[str] | None = None
        self._owner = 0

    def skeleton(self, source: str, roles: Sequence[str], tokens: Mapping[str, str]) -> dict[str, Any]:
        """What `jinja_room.skeleton` returns, or `Refused`, within the limit."""
        request = json.dumps({"source": source, "roles": list(roles), "tokens": dict(tokens)})
        with self._lock:
            answer = self._asked(request)
        if "refused" in answer:
            raise Refused(answer["refused"])
        return answer

    def _asked(self, request: str) -> dict[str, Any]:
        child = self._running()
        assert child.stdin is not None
        assert child.stdout is not None
        has_run_on = threading.Event()

        def stop() -> None:
            has_run_on.set()
            child.kill()

        timer = threading.Timer(self._limit_s, stop)
        timer.daemon = True
        timer.start()
        try:
            child.stdin.write(request + "\n")
            child.stdin.flush()
            line = child.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            timer.cancel()
        if not line:
            self._child = None
            code = child.wait()
            _end(child)
            raise Refused(
                f"it did not finish within {self._limit_s:g} s"
                if has_run_on.is_set()
                else f"the process that renders it ended with {code}"
            )
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _running(self) -> subprocess.Popen[str]:
        if self._child is None or self._owner != os.getpid():
            search = os.pathsep.join(filter(None, sys.path))
            self._child = subprocess.Popen(
                [sys.executable, "-m", "codex_tokenizers.jinja_room"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                env={**os.environ, "PYTHONPATH": search, "PYTHONUTF8": "1"},
            )
            self._owner = os.getpid()
            weakref.finalize(self, _end, self._child, self._owner)
        return self._child


def _end(child: subprocess.Popen[str], owner: int | None = None) -> None:
    """Close the pipes of a child and let it go; only in the process that started it."""
    if owner not in (None, os.getpid()):
        return
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            try:
                pipe.close()
            except BrokenPipeError:
                continue  # what was still to be written belongs to a child that is gone
    child.wait()

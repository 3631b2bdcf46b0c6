"""A helper process: takes numbers from standard input, does a task for each, answers on standard output.

Decisions: an interrupt is the parent's to handle; what tasks print goes to standard error; everything that arrives
here was written by the parent that started this process, through a pipe that nobody else has.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import sys
import traceback
from typing import IO, Any

from codex_core.errors import CodexError


def main() -> None:
    """Work until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with os.fdopen(os.dup(1), "wb", buffering=0) as answers:
        os.dup2(2, 1)
        _work(sys.stdin.buffer, answers)


def _work(numbers: IO[bytes], answers: IO[bytes]) -> None:
    header = json.loads(numbers.readline())
    sys.path[:] = header["path"]
    task = pickle.loads(numbers.read(header["bytes"]))  # written by the parent
    for line in numbers:
        answers.write(json.dumps(_answer(task, int(line))).encode() + b"\n")


def _answer(task: Any, number: int) -> dict[str, Any]:
    try:
        return {"done": task(number)}
    except CodexError as error:
        fields = {name: getattr(error, name) for name in ("code", "what", "where", "why", "fix")}
        return {"error": {"class": type(error).__name__, **fields}}
    except Exception:  # noqa: BLE001 - whatever a component raises is told to the parent, which raises it
        return {"crash": traceback.format_exc()}


if __name__ == "__main__":
    main()

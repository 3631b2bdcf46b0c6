"""A process that has imported what takes long, and forks a child for each command that is to be killed.

`python -m codex_core.testing.crash_server MODULE...` imports the modules and then reads one JSON object per line:
`arguments` of `codex`, the working `folder`, the file that takes what it `says`, and where to die (`point`, fields of
`CrashPoint`, or null). It answers one JSON object per child: `returncode`, negative for a signal.

Decision: a child runs `codex` exactly as `python -m codex_core` does; before the fork nothing has computed, so no
thread of a library is left behind in it.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
import traceback
from importlib import import_module
from typing import Any

from codex_core.testing.crash_points import CrashPoint, Watch


def main(modules: list[str]) -> None:
    """Serve until standard input ends."""
    for module in modules:
        import_module(module)
    _answer(ready=True)
    for line in sys.stdin:
        job: dict[str, Any] = json.loads(line)
        pid = os.fork()
        if pid == 0:
            os._exit(_work(job))
        _, status = os.waitpid(pid, 0)
        _answer(returncode=os.waitstatus_to_exitcode(status))


def _answer(**fields: object) -> None:
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


def _work(job: dict[str, Any]) -> int:
    """Be the command; returns its exit code."""
    said = os.open(job["says"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for descriptor in (1, 2):
        os.dup2(said, descriptor)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(job["folder"])
    if job["point"] is not None:
        Watch(CrashPoint(**job["point"])).install()
    sys.argv = ["codex", *job["arguments"]]
    try:
        runpy.run_module("codex_core", run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        sys.stdout.flush()
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:  # noqa: BLE001 - a forked child must not go on as its parent
        traceback.print_exc()
        return 70
    return 0


if __name__ == "__main__":
    main(sys.argv[1:])

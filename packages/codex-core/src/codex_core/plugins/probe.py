"""Have plugin modules imported by a child process, and judge what it reports.

Decisions: the child is `sys.executable` with this process's flags, environment and search path, a working
directory of its own, no standard input and a process group of its own. Its journal is hostile input: one line
per event, in the order of the job, of the child's own pid, of bounded size and known shape; whatever deviates is
held against the plugin under way. A batch ends where the child ends it; a death inside a batch is confirmed alone
before it is held against anybody. Two watchdogs: one in the child, per plugin, which leaves a traceback; one here,
on the journal's progress and on the time spent in all, which kills the group.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from codex_core.plugins import probe_journal
from codex_core.plugins.probe_journal import Result, failed

CHILD = os.path.join(os.path.dirname(os.path.abspath(__file__)), "probe_child.py")
MAX_OUTPUT_BYTES = 64 << 10
#: How much later the watchdog outside barks; it is there for when the one inside cannot.
GRACE_S = 3.0


class Limits(NamedTuple):
    """Seconds that one plugin may take, and that all plugins together may take."""

    plugin_s: float = 5.0
    total_s: float = 60.0

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Limits:
        """The limits, moved by `CODEX_PROBE_LIMIT_S` (for slow file systems); nonsense leaves them as they are."""
        try:
            plugin_s = max(0.1, float(environ["CODEX_PROBE_LIMIT_S"]))
        except (KeyError, ValueError):
            return cls()
        return cls(plugin_s, max(cls().total_s, 4 * plugin_s))


class _Ended(NamedTuple):
    """How a batch ended: what its journal tells, whether a watchdog ended it, its status and its last words."""

    told: probe_journal.Told
    timed_out: bool
    status: str
    said: str


def describe_plugins(modules: Sequence[str], search: Sequence[str], limits: Limits) -> list[Result]:
    """What the child says of each plugin module, in the order given.

    A result has `problem` (None, or `reason`, `error`, `where`, `missing`), `components`, `events`, `import_ms`,
    `memory_mb`, `heavy`, `side_effects`, `network`, `printed_bytes`, `warnings`, `files`, `shared_files`.
    """
    return _run("plugins", [{"module": module} for module in modules], search, limits)


class Examined(NamedTuple):
    """What became of one plugin in a child of its own: its result, how the child ended, what it printed last."""

    result: Result
    exit: str
    printed: str


def examine(module: str, search: Sequence[str], limits: Limits) -> Examined:
    """Import one plugin module in a child of its own; the result is as of `describe_plugins`."""
    until = time.monotonic() + limits.plugin_s + 2 * GRACE_S
    ended = _batch("plugins", {0: {"module": module}}, search, limits, until)
    result = ended.told.results.get(0)
    if result is None:
        told, said = ended.told, ended.status
        reason = "process-died" if told.under_way is not None else "bad-report" if told.spoilt else "no-probe"
        if ended.timed_out:
            reason, said = "timed-out", f"no answer within {limits.plugin_s:g} s"
        result = failed(reason, said, ended.said)
    return Examined(result, "timed out" if ended.timed_out else ended.status, ended.said)


def describe_options(classes: Sequence[str], search: Sequence[str], limits: Limits) -> list[Result]:
    """What the child says of options classes: `fields` with name, type, default, doc and bounds; or a `problem`."""
    return _run("options", [{"options": one} for one in classes], search, limits)


def _run(task: str, items: Sequence[dict[str, Any]], search: Sequence[str], limits: Limits) -> list[Result]:
    until = time.monotonic() + limits.total_s
    results: dict[int, Result] = {}
    waiting = list(range(len(items)))
    alone: list[int] = []
    while (waiting or alone) and time.monotonic() < until:
        batch = [alone.pop(0)] if alone else waiting
        ended = _batch(task, {key: items[key] for key in batch}, search, limits, until)
        results.update(ended.told.results)
        blamed = ended.told.under_way
        if blamed is not None and (ended.timed_out or blamed == batch[0]):
            reason = "timed-out" if ended.timed_out else "process-died"
            status = f"no answer within {limits.plugin_s:g} s" if ended.timed_out else ended.status
            results[blamed] = failed(reason, status, ended.said)
        elif blamed is not None:
            alone.append(blamed)
        elif ended.told.spoilt and len(batch) > 1:
            alone += batch  # somebody erased what the others had said
        elif not ended.told.results:
            reason = "bad-report" if ended.told.spoilt else "no-probe"
            results |= {key: failed(reason, ended.status, ended.said) for key in batch}
        waiting = [key for key in waiting if key not in results and key not in alone]
    late = failed("time-spent", f"the {limits.total_s:.0f} s for all plugins were spent", "")
    return [results.get(key, late) for key in range(len(items))]


def _batch(
    task: str, items: Mapping[int, dict[str, Any]], search: Sequence[str], limits: Limits, until: float
) -> _Ended:
    """One child, from its start to its end."""
    try:
        with tempfile.TemporaryDirectory(prefix="codex-probe-", ignore_cleanup_errors=True) as folder:
            job: dict[str, Any] = {
                "task": task,
                "items": [{"key": key, **item} for key, item in items.items()],
                "search": list(search),
                "limit_s": limits.plugin_s,
                "journal": os.path.join(folder, "journal"),
                "trace": os.path.join(folder, "trace"),
            }
            status, said, killed = _child(job, folder, limits, until)
            told = probe_journal.read(job["journal"], task, list(items))
            traced = _tail(job["trace"])
    except OSError as error:
        return _Ended(
            probe_journal.Told({}, None, False, False), False, f"it could not be started: {error}", ""
        )
    if killed == "total" and not told.complete:
        # Nobody's fault: there was no time left.
        told = told._replace(under_way=None, results=told.results or {next(iter(items)): _out_of_time()})
    timed_out = killed == "plugin" or "Timeout (" in traced
    return _Ended(told, timed_out and not told.complete, status, traced or said)


def _out_of_time() -> Result:
    return failed("time-spent", "the time for all plugins was spent", "")


def _child(job: dict[str, Any], folder: str, limits: Limits, until: float) -> tuple[str, str, str]:
    """Run the child to its end; returns its status in words, its last output, and which watchdog killed it."""
    if not sys.executable:
        return "this Python has no executable of its own", "", ""
    job_path, work = os.path.join(folder, "job"), os.path.join(folder, "cwd")
    with open(job["journal"], "wb"), open(job_path, "w", encoding="utf-8") as file:
        json.dump(job, file)
    os.mkdir(work)
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # what multiprocessing uses
    process = subprocess.Popen(
        [sys.executable, *flags, CHILD, job_path],
        cwd=work,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    output: list[bytes] = []
    reader = threading.Thread(target=_drain, args=(process.stdout, output), daemon=True)
    reader.start()
    try:
        killed = _wait(process, job["journal"], limits, until)
    finally:
        _kill(process)
    reader.join(0.5)
    said = b"".join(output).decode("utf-8", "replace")[-2000:]
    return _status(process.returncode), said, killed


def _wait(process: subprocess.Popen[bytes], journal: str, limits: Limits, until: float) -> str:
    """Wait for the child; returns "" when it ended, "plugin" without progress, "total" when all time is spent."""
    size, quiet_since = 0, time.monotonic()
    while True:
        try:
            process.wait(timeout=min(0.5, limits.plugin_s))
            return ""
        except subprocess.TimeoutExpired:
            now = time.monotonic()
        if (grown := os.path.getsize(journal)) != size:
            size, quiet_since = grown, now
        if now >= until:
            return "total"
        if now - quiet_since > limits.plugin_s + GRACE_S:
            return "plugin"


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the child and whatever it started in its group."""
    if hasattr(os, "killpg"):
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
    elif process.poll() is None:
        process.kill()
    process.wait()


def _drain(stream: Any, output: list[bytes]) -> None:
    """Keep the pipe empty, remember the last part of what came through it."""
    while chunk := stream.read1(MAX_OUTPUT_BYTES):
        output[:] = [b"".join([*output, chunk])[-MAX_OUTPUT_BYTES:]]
    stream.close()


def _tail(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.read(MAX_OUTPUT_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""


def _status(code: int) -> str:
    if code >= 0:
        return f"the process ended with exit status {code}"
    try:
        return f"the process was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"the process was killed by signal {-code}"

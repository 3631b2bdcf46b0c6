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

from codex_core.components import EVENT_HOOKS, KINDS, Component

CHILD = os.path.join(os.path.dirname(os.path.abspath(__file__)), "probe_child.py")
MAX_LINE_BYTES = 8 << 20
MAX_OUTPUT_BYTES = 64 << 10

Result = dict[str, Any]


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
    """How a batch ended: results by key, the key under way at a death (None: none), why, and the child's last words."""

    results: dict[int, Result]
    under_way: int | None
    timed_out: bool
    status: str
    said: str


def describe_plugins(modules: Sequence[str], search: Sequence[str], limits: Limits) -> list[Result]:
    """What the child says of each plugin module, in the order given.

    A result has `problem` (None, or `reason`, `error`, `where`, `missing`), `components`, `events`, `import_ms`,
    `memory_mb`, `heavy`, `side_effects`, `network`, `printed_bytes`, `warnings`, `files`, `shared_files`.
    """
    return _run("plugins", [{"module": module} for module in modules], search, limits)


def describe_options(classes: Sequence[str], search: Sequence[str], limits: Limits) -> list[Result]:
    """What the child says of options classes: `fields` with name, type, default, doc and bounds; or a `problem`."""
    return _run("options", [{"options": one} for one in classes], search, limits)


def _run(task: str, items: Sequence[dict[str, Any]], search: Sequence[str], limits: Limits) -> list[Result]:
    until = time.monotonic() + limits.total_s
    results: dict[int, Result] = {}
    waiting = list(range(len(items)))
    alone: list[int] = []
    while waiting or alone:
        batch = [alone.pop(0)] if alone else waiting
        if time.monotonic() >= until:
            waiting = []
            break
        ended = _batch(task, {key: items[key] for key in batch}, search, limits, until)
        results.update(ended.results)
        blamed = ended.under_way
        if blamed is not None and (ended.timed_out or blamed == batch[0]):
            results[blamed] = _failed(
                "timed-out" if ended.timed_out else "process-died", ended.status, ended.said
            )
        elif blamed is not None:
            alone.append(blamed)
        elif not ended.results:
            for key in batch:
                results[key] = _failed("no-probe", ended.status, ended.said)
        waiting = [key for key in waiting if key not in results and key not in alone]
    return [
        results.get(key, _failed("time-spent", f"{limits.total_s:.0f} s were spent on others", ""))
        for key in range(len(items))
    ]


def _batch(
    task: str, items: Mapping[int, dict[str, Any]], search: Sequence[str], limits: Limits, until: float
) -> _Ended:
    """One child, from its start to its end."""
    with tempfile.TemporaryDirectory(prefix="codex-probe-", ignore_cleanup_errors=True) as folder:
        journal, job, trace = (os.path.join(folder, name) for name in ("journal", "job", "trace"))
        with open(journal, "wb"):
            pass
        with open(job, "w", encoding="utf-8") as file:
            listed = [{"key": key, **item} for key, item in items.items()]
            json.dump(
                {
                    "task": task,
                    "items": listed,
                    "search": list(search),
                    "journal": journal,
                    "trace": trace,
                    "limit_s": limits.plugin_s,
                },
                file,
            )
        work = os.path.join(folder, "cwd")
        os.mkdir(work)
        status, said, killed = _child([CHILD, job], work, journal, limits, until)
        results, under_way, complete = _read_journal(journal, task, list(items))
        traced = _tail(trace)
    timed_out = killed == "plugin" or "Timeout (" in traced
    if killed == "total":
        under_way = None  # nobody's fault: there was no time left
        results = results or {
            next(iter(items)): _failed("time-spent", "the time for all plugins was spent", "")
        }
    if complete:
        under_way, timed_out = None, False
    return _Ended(results, under_way, timed_out, status, traced or said)


def _child(
    arguments: list[str], folder: str, journal: str, limits: Limits, until: float
) -> tuple[str, str, str]:
    """Run the child to its end; returns its status in words, its last output, and which watchdog killed it."""
    if not sys.executable:
        return "this Python has no executable of its own", "", ""
    command = [sys.executable, *subprocess._args_from_interpreter_flags(), *arguments]  # type: ignore[attr-defined]
    try:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        return f"it could not be started: {error}", "", ""
    output: list[bytes] = []
    reader = threading.Thread(target=_drain, args=(process.stdout, output), daemon=True)
    reader.start()
    try:
        killed = _wait(process, journal, limits, until)
    finally:
        _kill(process)
    reader.join(0.5)
    said = b"".join(output).decode("utf-8", "replace")[-2000:]
    return _status(process.returncode), said, killed


def _wait(process: subprocess.Popen[bytes], journal: str, limits: Limits, until: float) -> str:
    """Wait for the child; returns "" when it ended, "plugin" without progress, "total" when all time is spent."""
    grace_s = limits.plugin_s + 3.0  # the watchdog inside comes first; this one is for when it cannot
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
        if now - quiet_since > grace_s:
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


def _read_journal(path: str, task: str, keys: list[int]) -> tuple[dict[int, Result], int | None, bool]:
    """Believable results by key, the key under way when belief ended, and whether the child came to its end."""
    results: dict[int, Result] = {}
    pid = under_way = None
    upcoming = iter(keys)
    try:
        with open(path, "rb") as file:
            lines = file.read(MAX_LINE_BYTES * 4).split(b"\n")[:-1]
    except OSError:
        return {}, None, False
    for number, line in enumerate(_own_lines(lines)):
        event = line.get("event")
        if number == 0:
            pid = line.get("pid")
        if line.get("n") != number or line.get("pid") != pid or not isinstance(pid, int):
            break
        if event == "end" and under_way is None:
            return results, None, True
        if event == "start" and under_way is None and line.get("key") == next(upcoming, None):
            under_way = line["key"]
        elif event == "done" and line.get("key") == under_way is not None:
            accepted = _accepted(line, task)
            results[under_way] = accepted or _failed(
                "bad-report", "its record has not the expected shape", ""
            )
            under_way = None
        elif number or event != "hello":
            break
    else:
        return results, under_way, False
    # Somebody else wrote into the journal: whoever was under way, or came last, is held responsible.
    culprit = under_way if under_way is not None else next(reversed(results), None)
    if culprit is not None:
        results[culprit] = _failed(
            "bad-report", "the journal of the probe was written to by somebody else", ""
        )
    return results, None, False


def _own_lines(lines: list[bytes]) -> list[dict[str, Any]]:
    """The journal's lines as records; forked children of plugins write under their own pid, those are dropped."""
    parsed: list[dict[str, Any]] = []
    for line in lines:
        try:
            values = json.loads(line, parse_constant=str) if len(line) <= MAX_LINE_BYTES else {}
        except (ValueError, RecursionError):
            values = {}
        values = values if isinstance(values, dict) else {}
        if parsed and isinstance(values.get("pid"), int) and values["pid"] != parsed[0].get("pid"):
            continue
        parsed.append(values)
    return parsed


def _accepted(line: dict[str, Any], task: str) -> Result | None:
    """A result of the expected shape, with nothing else in it; None when the line has another shape."""
    try:
        result: Result = {
            "problem": _problem(line["problem"]),
            "memory_mb": _number(line["memory_mb"]),
            "printed_bytes": _number(line["printed_bytes"]),
            **{
                key: _texts(line[key])
                for key in ("heavy", "side_effects", "network", "files", "shared_files")
            },
        }
        if task == "options":
            return {
                **result,
                "fields": [_option(one) for one in line["fields"]],
                "doc": str(line.get("doc", "")),
            }
        return {
            **result,
            "components": [_component(one) for one in line["components"]],
            "events": [name for name in EVENT_HOOKS if name in _texts(line["events"])],
            "import_ms": _number(line["import_ms"]),
            "warnings": _texts(line["warnings"]),
        }
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _component(values: dict[str, Any]) -> dict[str, Any]:
    kind = values.pop("kind")
    if kind not in KINDS:
        raise ValueError(kind)
    component = Component(**values)
    for text in (component.runtime, component.overrides):
        if text is not None and (not isinstance(text, str) or len(text) > 100):
            raise ValueError(text)
    return {"kind": kind, **component.as_dict()}


def _option(values: dict[str, Any]) -> dict[str, Any]:
    names = (
        "name",
        "type",
        "required",
        "default",
        "doc",
        "unit",
        "choices",
        "minimum",
        "maximum",
        "resumable",
    )
    if not isinstance(values["name"], str):
        raise ValueError(values["name"])
    return {name: values[name] for name in names}


def _problem(values: Any) -> dict[str, Any] | None:
    if values is None:
        return None
    shown = {name: values.get(name) for name in ("reason", "error", "where", "missing")}
    if not all(one is None or (isinstance(one, str) and len(one) <= 2000) for one in shown.values()):
        raise ValueError(shown)
    return shown


def _number(value: Any) -> float:
    if type(value) not in (int, float):
        raise ValueError(value)
    return value  # type: ignore[no-any-return]  # just checked


def _texts(values: Any) -> list[str]:
    if not isinstance(values, list) or not all(isinstance(one, str) for one in values):
        raise ValueError(values)
    return values


def _failed(reason: str, status: str, said: str) -> Result:
    where = next((line.strip() for line in said.splitlines() if line.strip().startswith("File ")), None)
    problem = {"reason": reason, "error": status, "where": where, "missing": None}
    return {
        "problem": problem,
        "components": [],
        "events": [],
        "fields": [],
        "doc": "",
        "import_ms": None,
        "memory_mb": None,
        "heavy": [],
        "side_effects": [],
        "network": [],
        "printed_bytes": 0,
        "warnings": [],
        "files": [],
        "shared_files": [],
    }


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

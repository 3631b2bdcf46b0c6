"""The process that imports plugin modules, so that the user's process need not.

Run as `python [flags] probe_child.py JOB`, it reads the job, imports one plugin after another, calls their kind
hooks, and appends one JSON line per event to the journal. It ends early when a plugin left something behind that
could colour what is said of the next one. Everything that runs after plugin code was bound before it.

Decisions: the child forces nothing on plugins but a time limit, a refusal of connections beyond this machine, and
no byte code written; it never says which plugin is at fault for its own death, the parent does.
"""

import sys

if __name__ == "__main__" and not sys.flags.safe_path:
    del sys.path[0]  # the folder of this file, before anything is imported from it

import faulthandler
import importlib
import io
import json
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any

#: Libraries that a plugin module has no reason to import; the list is what users complained about elsewhere.
HEAVY = frozenset(
    [
        "datasets",
        "google.protobuf",
        "jax",
        "matplotlib",
        "mlflow",
        "numpy",
        "pandas",
        "peft",
        "psutil",
        "pyarrow",
        "sacrebleu",
        "scipy",
        "sentencepiece",
        "sklearn",
        "sqlalchemy",
        "tensorboard",
        "tensorflow",
        "tokenizers",
        "torch",
        "transformers",
        "wandb",
    ]
)
#: Memory growth, in MiB, from which a batch ends.
HEAVY_MB = 64.0

_NETWORK_EVENTS = (
    "socket.connect",
    "socket.sendto",
    "socket.sendmsg",
    "socket.getaddrinfo",
    "socket.gethostbyname",
)
_PROCESS_EVENTS = ("subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system")
_LOCAL_HOSTS = (None, "", "localhost", "127.0.0.1", "::1", b"localhost")


class Watch:
    """What an audit hook sees while a plugin is imported: files read, network tries, processes started."""

    def __init__(self) -> None:
        self.opened: set[str] = set()
        self.network: list[str] = []
        self.processes: list[str] = []
        #: Process state after the last plugin, which is that before the next one: whoever changed it ended the batch.
        self.state: dict[str, Any] | None = None
        #: Names of the modules that were there before the next plugin.
        self.modules: set[str] = set()
        self.active = False
        sys.addaudithook(self._see)

    def _see(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.active:
            return
        if event == "open":
            if isinstance(args[0], str) and (not isinstance(args[1], str) or "r" in args[1]):
                self.opened.add(args[0])
        elif event in _NETWORK_EVENTS:
            target = args[1] if event.startswith("socket.s") or event == "socket.connect" else args[0]
            host = target[0] if isinstance(target, tuple) and target else target
            if host not in _LOCAL_HOSTS and not (
                event == "socket.connect" and isinstance(target, (str, bytes))
            ):
                self.network.append(f"{event} {target!r}"[:200])
                raise PermissionError(f"plugins are listed without network; refused: {event} {target!r}")
        elif event in _PROCESS_EVENTS:
            self.processes.append(event)


class Counter(io.RawIOBase):
    """Standard output or error of the child that counts what passes."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.count = 0

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def write(self, data: Any) -> int:
        self.count += len(data)
        return os.write(self._descriptor, data)


def main(job_path: str) -> None:
    """Work off the job; the journal has the results."""
    with open(job_path, encoding="utf-8") as file:
        job = json.load(file)
    journal = os.open(job["journal"], os.O_WRONLY | os.O_APPEND)
    trace = open(job["trace"], "w", encoding="utf-8")  # noqa: SIM115 - open until the process ends
    sys.path[:] = job["search"]
    sys.dont_write_bytecode = True
    record = _recorder(journal)
    leave = os._exit
    counters = _counted_streams()
    work = _describe_options if job["task"] == "options" else _describe_plugin
    _load_core()
    watch = Watch()
    record({"event": "hello"})
    for item in job["items"]:
        record({"event": "start", "key": item["key"]})
        trace.seek(0)
        trace.truncate()
        faulthandler.dump_traceback_later(job["limit_s"], exit=True, file=trace)
        result = work(item, watch, counters)
        faulthandler.cancel_dump_traceback_later()
        record({"event": "done", "key": item["key"], **result})
        if result["side_effects"] or result["network"] or result["heavy"]:
            break
    record({"event": "end"})
    leave(0)


def _load_core() -> None:
    """What every plugin module imports, so that no plugin is charged for it."""
    importlib.import_module("codex_core.plugins.hookcheck")
    importlib.import_module("codex_core.hookspecs")


def _recorder(journal: int) -> Callable[[dict[str, Any]], None]:
    write, dumps, getpid = os.write, json.JSONEncoder(ensure_ascii=True).encode, os.getpid
    number = 0

    def record(values: dict[str, Any]) -> None:
        nonlocal number
        line = (dumps({"n": number, "pid": getpid(), **values}) + "\n").encode()
        number += 1
        while line:
            line = line[write(journal, line) :]

    return record


def _counted_streams() -> list[Counter]:
    counters = [Counter(1), Counter(2)]
    for name, counter in zip(("stdout", "stderr"), counters, strict=True):
        stream = io.TextIOWrapper(counter, errors="replace", write_through=True)  # type: ignore[type-var]
        setattr(sys, name, stream)
    return counters


def _describe_plugin(item: dict[str, Any], watch: Watch, counters: list[Counter]) -> dict[str, Any]:
    """Import a plugin module and ask its kind hooks; the result is always a record."""
    checks = importlib.import_module("codex_core.plugins.hookcheck")
    name = item["module"]
    before = _Before(counters, watch)
    result: dict[str, Any] = {"components": [], "events": [], "problem": None}
    clock = time.perf_counter
    started = clock()
    with warnings.catch_warnings(record=True) as caught:
        watch.active = True
        try:
            module = importlib.import_module(name)
            result["events"], offered = checks.hooks_of(module)
            result["components"] = [
                values for hook, call in offered for values in checks.components_of(hook, call)
            ]
            checks.check_together(result["components"])
        except checks.Refused as refused:
            result["problem"] = {"reason": refused.reason, "error": refused.hint, "where": refused.where}
        except BaseException as error:  # noqa: BLE001 - plugin code may raise anything, SystemExit included
            result["problem"] = _problem(error, name)
        watch.active = False
    result["import_ms"] = round((clock() - started) * 1000, 1)
    if result["problem"]:
        result["components"], result["events"] = [], []
    result["warnings"] = [_text(warning.message) for warning in (caught or ())[:3]]
    return {**result, **before.differences(watch, name)}


def _describe_options(item: dict[str, Any], watch: Watch, counters: list[Counter]) -> dict[str, Any]:
    """Import an options class and describe its fields."""
    before = _Before(counters, watch)
    result: dict[str, Any] = {"fields": [], "problem": None}
    watch.active = True
    try:
        module, _, attribute = item["options"].partition(":")
        found: Any = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
        result["fields"] = [_field(field) for field in importlib.import_module("attrs").fields(found)]
        result["doc"] = (found.__doc__ or "").strip().partition("\n")[0]
    except BaseException as error:  # noqa: BLE001 - as above
        result["problem"] = _problem(error, item["options"])
    watch.active = False
    return {**result, **before.differences(watch, item["options"].partition(":")[0])}


def _field(field: Any) -> dict[str, Any]:
    attrs = importlib.import_module("attrs")
    required = field.default is attrs.NOTHING
    default = field.default
    if isinstance(default, attrs.Factory):
        default = default.factory()
    return {
        "name": field.name,
        "type": field.type
        if isinstance(field.type, str)
        else getattr(field.type, "__name__", str(field.type)),
        "required": required,
        "default": None if required else _plain(default),
        **{key: _plain(field.metadata.get(key)) for key in ("doc", "unit", "choices", "minimum", "maximum")},
        "resumable": bool(field.metadata.get("resumable")),
    }


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    return str(value)


class _Before:
    """Process state before a plugin, to be compared with the state after it."""

    def __init__(self, counters: list[Counter], watch: Watch) -> None:
        if len(watch.modules) != len(sys.modules):
            watch.modules = set(sys.modules)
        self.printed = sum(counter.count for counter in counters)
        self.counters = counters
        self.memory_mb = _memory_mb()
        self.state = watch.state or self._state()

    def _state(self) -> dict[str, Any]:
        return {
            "threads": {thread.ident for thread in threading.enumerate()},
            "sys.path": list(sys.path),
            "environment": dict(os.environ),
            "working directory": _cwd(),
            "finders": [id(one) for one in (*sys.meta_path, *sys.path_hooks)],
            "signal handlers": {number: id(_handler(number)) for number in (2, 15)},
        }

    def _details(self, after: dict[str, Any], watch: Watch) -> list[str]:
        """Each change in words: `sys.path: +/somewhere`, `threads: worker (not a daemon)`."""
        was = self.state
        names = {
            thread.ident: f"{thread.name}{'' if thread.daemon else ' (not a daemon)'}"
            for thread in threading.enumerate()
        }
        found = [f"threads: {names.get(one, one)}" for one in after["threads"] - was["threads"]]
        found += [f"sys.path: +{one}" for one in after["sys.path"] if one not in was["sys.path"]]
        found += [f"sys.path: -{one}" for one in was["sys.path"] if one not in after["sys.path"]]
        old, new = was["environment"], after["environment"]
        # Names only: values may be secrets.
        found += [f"environment: {name}" for name in sorted({**old, **new}) if old.get(name) != new.get(name)]
        numbers = [
            number
            for number, one in after["signal handlers"].items()
            if one != was["signal handlers"][number]
        ]
        found += [f"signal handlers: {signal.Signals(number).name}" for number in numbers]
        if after["working directory"] != was["working directory"]:
            found.append(f"working directory: {after['working directory']}")
        found += [f"processes: {one}" for one in sorted(set(watch.processes))]
        return [str(one)[:200] for one in found[:20]]

    def differences(self, watch: Watch, name: str) -> dict[str, Any]:
        """What the plugin did, as the last part of its record; also forgets it, for the next one."""
        after = self._state()
        new = {name for name in tuple(sys.modules) if name not in watch.modules}
        watch.modules |= new
        grown = max(0.0, round(_memory_mb() - self.memory_mb, 1))
        effects = [what for what, value in self.state.items() if after[what] != value]
        heavy = sorted(name for name in new if name in HEAVY)
        if grown > HEAVY_MB and not heavy:
            heavy = [f"{grown:.0f} MiB"]
        files, shared = _files(new, watch.opened, name)
        result = {
            "memory_mb": grown,
            "heavy": heavy,
            "side_effects": effects + (["processes"] if watch.processes else []),
            "details": self._details(after, watch) if effects or watch.processes else [],
            "network": watch.network[:3],
            "printed_bytes": sum(counter.count for counter in self.counters) - self.printed,
            "files": files,
            "shared_files": shared,
        }
        watch.opened, watch.network, watch.processes, watch.state = set(), [], [], after
        return result


def _files(new: set[str], opened: set[str], name: str) -> tuple[list[str], list[str]]:
    """Files behind a plugin: its own ones (its package, what it opened), and modules that others may share."""
    own_prefix = f"{name.rpartition('.')[0] or name}."
    own: set[str] = set()
    shared: set[str] = set()
    for module_name in new | {name}:
        origin = getattr(sys.modules.get(module_name), "__file__", None)
        if not isinstance(origin, str) or _is_python_itself(origin):
            continue
        (own if f"{module_name}.".startswith(own_prefix) else shared).add(origin)
    for path in opened:
        if path.endswith((".pyc", ".pyo")) or path.startswith(("/proc/", "/dev/", "/sys/")) or path in shared:
            continue
        if os.path.isabs(path) and os.path.isfile(path) and not _is_python_itself(path):
            own.add(path)
    return sorted(own), sorted(shared)


_STANDARD_LIBRARY = os.path.dirname(os.__file__) + os.sep
_SITE = tuple(os.path.join(_STANDARD_LIBRARY, name) + os.sep for name in ("site-packages", "dist-packages"))


def _is_python_itself(path: str) -> bool:
    return path.startswith(_STANDARD_LIBRARY) and not path.startswith(_SITE)


def _problem(error: BaseException, name: str) -> dict[str, Any]:
    """An exception of plugin code as plain values; nothing of it is trusted to be printable."""
    reason = "import-exits" if isinstance(error, SystemExit) else "import-failed"
    if reason == "import-failed" and name in sys.modules:
        reason = "hook-failed"
    missing = getattr(error, "name", None) if isinstance(error, ModuleNotFoundError) else None
    return {
        "reason": reason,
        "error": _text(error),
        "where": _innermost(error, name),
        "missing": missing if isinstance(missing, str) else None,
    }


def _text(error: Any) -> str:
    try:
        kind = str(type(error).__name__)
    except BaseException:  # noqa: BLE001 - a metaclass of the plugin
        kind = "an exception"
    try:
        return f"{kind}: {error}"[:500]
    except BaseException:  # noqa: BLE001 - its __str__ raises
        return f"{kind} (its text cannot be shown)"


def _innermost(error: BaseException, name: str) -> str | None:
    """The last place in the traceback that lies in the plugin's package, else the last one outside Python."""
    if isinstance(error, SyntaxError) and isinstance(error.filename, str):
        return f"{error.filename}:{error.lineno}"
    top = name.partition(".")[0]
    place = fallback = None
    walk = error.__traceback__
    for _ in range(10_000):
        if walk is None:
            break
        path, module = walk.tb_frame.f_code.co_filename, walk.tb_frame.f_globals.get("__name__")
        shown = f"{path}:{walk.tb_lineno}"
        if isinstance(module, str) and module.partition(".")[0] == top:
            place = shown
        elif not path.startswith("<frozen") and path != __file__ and not _is_python_itself(path):
            fallback = shown
        walk = walk.tb_next
    return place or fallback


def _handler(number: int) -> Any:
    return signal.getsignal(number)


def _cwd() -> str | None:
    try:
        return os.getcwd()
    except OSError:
        return None


def _memory_mb() -> float:
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * 4096 / 2**20
    except (OSError, ValueError, IndexError):
        return 0.0


if __name__ == "__main__":
    main(sys.argv[1])

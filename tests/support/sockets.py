"""The sockets guard: no test reaches beyond its own processes unless it says so.

Decisions: an audit hook judges every connect, datagram and name look-up of Python code, however it is reached, and
stays for the life of the process; a denied attempt raises an `OSError`, as a machine without a network does, and is
also written down, so that code which swallows the error still fails its test. Without the marker `loopback`
everything is denied but socket pairs and numeric addresses that need no look-up; with it, this machine and AF_UNIX
are allowed. Python children inherit the guard through `site/sitecustomize.py`. Native code that calls the kernel
itself is out of reach: that is what the test under `unshare -n` is for.

Children load this file by its path before anything else, so it imports next to nothing.
"""

from __future__ import annotations

import _socket
import os
import sys
from types import FrameType
from typing import Any

#: Where attempts are written down, a line each: a file, because children take part.
LOG_VARIABLE = "CODEX_TEST_SOCKET_LOG"
#: `1` while a test with the marker `loopback` runs.
LOOPBACK_VARIABLE = "CODEX_TEST_LOOPBACK"

SUPPORT = os.path.dirname(os.path.abspath(__file__))
SITE = os.path.join(SUPPORT, "site")
REPOSITORY = os.path.dirname(os.path.dirname(SUPPORT))

_CONNECTS = {"socket.connect", "socket.sendto", "socket.sendmsg"}
_LOOKUPS = {"socket.getaddrinfo", "socket.gethostbyname"}
_REVERSE_LOOKUPS = {"socket.gethostbyaddr", "socket.getnameinfo"}
_STDLIB = os.path.dirname(os.__file__)


class NetworkAttempt(PermissionError):
    """Something tried to reach beyond this process while a test ran."""


def install() -> None:
    """Put the guard over this process; it cannot be taken off again, and a second call does nothing."""
    if not getattr(sys, "codex_sockets_guard", False):
        sys.codex_sockets_guard = True  # type: ignore[attr-defined] # children load this file under another name
        sys.addaudithook(_judge)


def child_environment(log: str, *, python_path: str) -> dict[str, str]:
    """The variables through which Python children inherit the guard."""
    others = [entry for entry in python_path.split(os.pathsep) if entry not in ("", SITE)]
    return {LOG_VARIABLE: log, "PYTHONPATH": os.pathsep.join([SITE, *others])}


def drain(log: str) -> list[str]:
    """The attempts written down since the last call, one sentence each."""
    if not os.path.exists(log):
        return []
    with open(log, "r+", encoding="utf-8") as file:
        attempts = file.read().splitlines()
        file.truncate(0)
    return attempts


def _judge(event: str, arguments: tuple[Any, ...]) -> None:
    if not event.startswith("socket."):
        return
    loopback = os.environ.get(LOOPBACK_VARIABLE) == "1"
    if event in _CONNECTS and not _may_connect(arguments[1], loopback=loopback):
        _deny(f"tried to connect to {_shown(arguments[1])}")
    if event in _LOOKUPS and not _may_look_up(arguments[0], loopback=loopback):
        _deny(f"tried to look up {_shown(arguments[0])}")
    if event in _REVERSE_LOOKUPS and not _may_connect(arguments[0], loopback=loopback):
        _deny(f"tried to look up the name of {_shown(arguments[0])}")


def _may_connect(target: Any, *, loopback: bool) -> bool:
    if target is None:  # `sendmsg` on a connected socket: judged when it connected
        return True
    if not loopback:
        return False
    return not isinstance(target, tuple) or _is_this_machine(target[0])  # a path is AF_UNIX


def _may_look_up(host: Any, *, loopback: bool) -> bool:
    if host in (None, "", b"") or _is_numeric(host):
        return True
    return loopback and _is_this_machine(host)


def _is_this_machine(host: Any) -> bool:
    name = _text(host)
    return name in ("localhost", "::1") or (name.startswith("127.") and _is_numeric(name))


def _is_numeric(host: Any) -> bool:
    name = _text(host).partition("%")[0]
    for family in (_socket.AF_INET, _socket.AF_INET6):
        try:
            _socket.inet_pton(family, name)
        except OSError:
            continue
        return True
    return False


def _text(host: Any) -> str:
    return os.fsdecode(host) if isinstance(host, bytes) else str(host)


def _shown(target: Any) -> str:
    if isinstance(target, tuple):
        return ":".join(_text(part) for part in target[:2])
    return _text(target)


def _deny(what: str) -> None:
    sentence = f"{_caller(sys._getframe(1))} {what}".replace("\n", " ")
    if log := os.environ.get(LOG_VARIABLE):
        descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, f"{sentence}\n".encode())
        finally:
            os.close(descriptor)
    raise NetworkAttempt(
        f"{sentence}; tests are denied the network, and this machine without the marker `loopback`"
    )


def _caller(frame: FrameType | None) -> str:
    """The line to blame, `file:line`: the innermost of this repository, else the innermost outside the library."""
    library = None
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith(REPOSITORY + os.sep) and file != __file__:
            return f"{os.path.relpath(file, REPOSITORY)}:{frame.f_lineno}"
        standard = file.startswith((_STDLIB, "<frozen", __file__)) and "site-packages" not in file
        if library is None and not standard:
            library = f"{file}:{frame.f_lineno}"
        frame = frame.f_back
    return library or f"process {os.getpid()}"

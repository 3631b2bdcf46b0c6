"""The sockets guard catches what it is planted for, in this process and in children."""

from __future__ import annotations

import _socket
import asyncio
import multiprocessing
import os
import socket
import subprocess
import sys
import textwrap
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import sockets

#: A documentation address: never assigned, so a hole in the guard would reach nobody.
OUTSIDE = ("192.0.2.1", 9)

Attempts = Callable[[], list[str]]


def _connect() -> None:
    socket.create_connection(OUTSIDE, timeout=0.1)


def _connect_without_raising() -> None:
    with socket.socket() as plug:
        plug.connect_ex(OUTSIDE)


def _connect_below_the_socket_module() -> None:
    _socket.socket().connect(OUTSIDE)


def _send_datagram() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as plug:
        plug.sendto(b"x", OUTSIDE)


def _connect_in_asyncio() -> None:
    asyncio.run(asyncio.open_connection(*OUTSIDE))


def _open_a_page() -> None:
    urllib.request.urlopen("http://192.0.2.1/", timeout=0.1)


def _look_up() -> None:
    socket.getaddrinfo("example.invalid", 80)


def _look_up_in_the_old_way() -> None:
    socket.gethostbyname("example.invalid")


def _look_up_an_address() -> None:
    socket.gethostbyaddr("192.0.2.1")


def _connect_to_this_machine() -> None:
    socket.create_connection(("127.0.0.1", 9), timeout=0.1)


def _connect_to_a_path() -> None:
    with socket.socket(socket.AF_UNIX) as plug:
        plug.connect("/nowhere")


@pytest.mark.parametrize(
    "attempt",
    [
        _connect,
        _connect_without_raising,
        _connect_below_the_socket_module,
        _send_datagram,
        _connect_in_asyncio,
        _open_a_page,
        _look_up,
        _look_up_in_the_old_way,
        _look_up_an_address,
        _connect_to_this_machine,
        _connect_to_a_path,
    ],
)
def test_attempt_is_denied_with_its_line(attempt: Callable[[], None], network_attempts: Attempts) -> None:
    """Every way out of the process raises an `OSError` and is written down with the line that took it."""
    with pytest.raises(OSError, match=r"tried to"):
        attempt()

    (sentence,) = network_attempts()
    lines = {line for _, _, line in attempt.__code__.co_lines() if line is not None}
    place, _, _ = sentence.partition(" tried to ")
    file, _, line = place.rpartition(":")
    assert file == "tests/unit/support/test_sockets.py"
    assert int(line) in lines


def test_socket_pairs_need_no_permission(network_attempts: Attempts) -> None:
    """Socket pairs, which `subprocess`, `asyncio` and `multiprocessing` stand on, work without a marker."""
    left, right = socket.socketpair()
    with left, right:
        left.sendall(b"x")
        assert right.recv(1) == b"x"
        left.sendmsg([b"y"])
        assert right.recv(1) == b"y"

    assert network_attempts() == []


def test_processes_need_no_permission() -> None:
    """A `multiprocessing` pool computes without a marker."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(abs, [-1, 2]) == [1, 2]


@pytest.mark.loopback
def test_this_machine_is_open_with_the_marker(tmp_path: Path) -> None:
    """Under `loopback` a test talks to its own server, by address, by name and by path."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        for host in ("127.0.0.1", "localhost"):
            socket.create_connection((host, server.getsockname()[1])).close()

    path = str(tmp_path / "plug")
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as plug:
        server.bind(path)
        server.listen()
        plug.connect(path)


@pytest.mark.loopback
def test_outside_stays_closed_with_the_marker(network_attempts: Attempts) -> None:
    """The marker opens this machine alone."""
    with pytest.raises(PermissionError):
        _connect()
    with pytest.raises(PermissionError):
        _look_up()

    assert len(network_attempts()) == 2


def test_child_inherits_the_guard(network_attempts: Attempts) -> None:
    """A Python child is denied too, and its attempt reaches the test that started it."""
    child = subprocess.run([sys.executable, "-c", "import socket; socket.create_connection(('192.0.2.1', 9))"],
                           capture_output=True, text=True, check=False)  # fmt: skip

    assert child.returncode == 1
    assert "NetworkAttempt" in child.stderr
    (sentence,) = network_attempts()
    assert "192.0.2.1:9" in sentence


def test_child_can_be_left_unguarded(unguarded_children: None) -> None:
    """A test may take the guard off its children, when they have a guard of their own to show."""
    script = "import sys; print(hasattr(sys, 'codex_sockets_guard'))"

    child = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert child.stdout == "False\n"


def test_child_runs_the_next_sitecustomize(tmp_path: Path) -> None:
    """A `sitecustomize` that was there before the guard still has its turn."""
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.had_its_turn = True\n")
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([os.environ["PYTHONPATH"], str(tmp_path)])}

    child = subprocess.run([sys.executable, "-c", "import sys; print(sys.had_its_turn, sys.codex_sockets_guard)"],
                           capture_output=True, text=True, env=environ, check=True)  # fmt: skip

    assert child.stdout == "True True\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    "body",
    [
        "socket.create_connection(('192.0.2.1', 9))",
        "\n    try: socket.getaddrinfo('example.invalid', 1)\n    except OSError: pass",
        "subprocess.run([sys.executable, '-c', \"import socket; socket.socket().connect(('192.0.2.1', 9))\"])",
    ],
    ids=["raised", "swallowed", "in a child"],
)
def test_attempt_fails_the_test(body: str, tmp_path: Path) -> None:
    """A planted attempt turns its session red and is named with file and line, even if the test swallows it."""
    planted = tmp_path / "test_planted.py"
    planted.write_text(f"import socket, subprocess, sys\n\ndef test_planted():\n    {body}\n")

    session = _session(planted)

    assert session.returncode == pytest.ExitCode.TESTS_FAILED, session.stdout
    assert "tried to" in session.stdout
    assert "1 failed" in session.stdout


@pytest.mark.slow
def test_attempt_while_importing_stops_the_session(tmp_path: Path) -> None:
    """A test module that reaches out while it is imported stops the session, with the line."""
    planted = tmp_path / "test_planted.py"
    planted.write_text(
        textwrap.dedent("""
            import socket
            try:
                socket.create_connection(("192.0.2.1", 9))
            except OSError:
                pass

            def test_nothing():
                pass
        """)
    )

    session = _session(planted)

    assert session.returncode == pytest.ExitCode.USAGE_ERROR, session.stdout
    assert "test_planted.py:4 tried to connect to 192.0.2.1:9" in session.stdout + session.stderr


def _session(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """A test session of its own, over planted files, with the guards of this one."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "tests.conftest",
        "-p",
        "no:cacheprovider",
        *map(str, arguments),
    ]
    return subprocess.run(command, capture_output=True, text=True, cwd=sockets.REPOSITORY, check=False)

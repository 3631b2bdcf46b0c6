"""Native code has no network either: tests run again where the kernel offers no interface at all."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.sources import ROOT


@pytest.fixture
def cut_off() -> list[str]:
    """The words before a command that run it in a network namespace of its own, with nothing in it."""
    for words in (["unshare", "--net"], ["unshare", "--map-root-user", "--net"]):
        if (
            shutil.which("unshare")
            and not subprocess.run([*words, "true"], capture_output=True, check=False).returncode
        ):
            return words
    pytest.skip("`unshare -n` is not permitted here")


def test_cut_off_means_no_interface(cut_off: list[str]) -> None:
    """The namespace has no way out: even a connection to this machine is refused by the kernel."""
    script = "import socket\nwith socket.create_server(('0.0.0.0', 0)) as s: socket.create_connection(s.getsockname())"
    environ = {"PATH": "/usr/bin:/bin"}  # without the guard, which would refuse first

    done = subprocess.run(
        [*cut_off, sys.executable, "-c", script], env=environ, capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert "Network is unreachable" in done.stderr or "Cannot assign requested address" in done.stderr


@pytest.mark.slow
def test_main_job_runs_without_a_network(cut_off: list[str], tmp_path: Path) -> None:
    """The whole demo, native libraries included, works where a packet has nowhere to go."""
    pytest.importorskip("codex_models")
    command = [*cut_off, sys.executable, "-m", "codex_core", "demo", "--preset", "tiny"]

    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "bits/byte" in done.stdout


@pytest.mark.proof
@pytest.mark.slow
def test_unit_tests_pass_without_a_network(cut_off: list[str]) -> None:
    """Every unit test that does not ask for this machine passes where there is no interface."""
    command = [
        *cut_off,
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-x",
        "-m",
        "not proof and not loopback",
        "tests/unit",
    ]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    print(done.stdout[-2000:])
    assert done.returncode == 0, done.stdout[-4000:]

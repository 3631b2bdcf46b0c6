"""What holds for every test: no network, no traces in the user's folders, one thread, skips that are accounted for."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import sockets
from tests.support.network import NetworkGuard
from tests.support.skips import OPTIONAL, SkipRules, is_installed

#: One folder per test process: the log of the sockets guard, and the user's cache as the tests see it.
SCRATCH = Path(tempfile.mkdtemp(prefix="codex-tests-"))
LOG = str(SCRATCH / "network-attempts")

for name in [name for name in os.environ if name.startswith("CODEX_") and name != "CODEX_ENVIRONMENT"]:
    del os.environ[name]  # what the user set for `codex` is not meant for the tests
os.environ |= {
    "CODEX_HOME": str(SCRATCH / "home"),
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
    "TRANSFORMERS_OFFLINE": "1",
    **sockets.child_environment(LOG, python_path=os.environ.get("PYTHONPATH", "")),
}
sockets.install()

if importlib.util.find_spec("hypothesis"):
    import hypothesis

    hypothesis.settings.register_profile(
        "codex", derandomize=True, deadline=None, database=None, print_blob=True
    )
    hypothesis.settings.load_profile("codex")


def pytest_configure(config: pytest.Config) -> None:
    """Register the guards of the session."""
    config.pluginmanager.register(NetworkGuard(LOG), "codex-network-guard")
    config.pluginmanager.register(SkipRules(), "codex-skip-rules")


def pytest_unconfigure() -> None:
    """Leave nothing behind."""
    shutil.rmtree(SCRATCH, ignore_errors=True)


def pytest_report_header() -> str:
    """Say in which environment the session runs: with which packages, and without which."""
    present = [f"{name} {_version(name)}".strip() for name in ("codex_core", *OPTIONAL) if is_installed(name)]
    absent = [name for name in OPTIONAL if not is_installed(name)]
    environment = os.environ.get("CODEX_ENVIRONMENT", "not made by Hatch")
    return (
        f"environment: {environment}\npresent: {', '.join(present)}\nabsent: {', '.join(absent) or 'nothing'}"
    )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say aloud when a session measured no coverage; silence would read as a pass."""
    if not is_installed("pytest_cov"):
        terminalreporter.write_line("coverage: not measured (pytest-cov is not installed)")
    elif not config.pluginmanager.hasplugin("_cov"):
        terminalreporter.write_line("coverage: not measured (the session was started without --cov)")


@pytest.fixture
def network_attempts() -> Callable[[], list[str]]:
    """Hand over the attempts so far, and forgive them; for tests in which an attempt is the point."""
    return lambda: sockets.drain(LOG)


@pytest.fixture
def unguarded_children(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the guard off children; for tests of a child that denies the network by itself and must see the attempt."""
    others = [entry for entry in os.environ["PYTHONPATH"].split(os.pathsep) if entry != sockets.SITE]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(others))


def _version(module: str) -> str:
    try:
        return importlib.metadata.version(module.replace("_", "-"))
    except importlib.metadata.PackageNotFoundError:
        return ""  # the distribution has another name than its module

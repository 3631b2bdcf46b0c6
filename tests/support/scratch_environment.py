"""A virtual environment of its own, in which plugins are installed and removed without touching that of the tests.

Decisions: what the tests' environment holds is seen through a path file, so nothing is downloaded and our five
packages are there; only what is installed here can be uninstalled here.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

import attrs

from tests.support.commands import Said

TIMEOUT_S = 300.0

#: Nothing is built in isolation and no index is asked: that is the promise to be tested.
INSTALL = ("pip", "install", "--quiet", "--no-index", "--no-build-isolation", "--no-deps")


@attrs.frozen
class ScratchEnvironment:
    """A virtual environment at `path`; its index of plugins is kept inside it."""

    path: Path

    @classmethod
    def make(cls, path: Path) -> ScratchEnvironment:
        """Make the environment, with pip from what Python brings along."""
        subprocess.run([sys.executable, "-m", "venv", str(path)], check=True, timeout=TIMEOUT_S)
        made = cls(path)
        for site in path.glob("lib/python*/site-packages"):
            folder = sysconfig.get_path("purelib")
            (site / "tests-environment.pth").write_text(f"import site; site.addsitedir({folder!r})\n")
        for program, module in (("codex", "codex_core"), ("pytest", "pytest")):
            script = path / "bin" / program
            script.write_text(f'#!/bin/sh\nexec "{path}/bin/python" -m {module} "$@"\n')
            script.chmod(0o755)
        return made

    def run(self, *command: str | Path, cwd: Path) -> Said:
        """Run a program of the environment to its end."""
        first, *rest = map(str, command)
        return self._finished([str(self.path / "bin" / first), *rest], cwd=cwd)

    def shell(self, script: str, *, cwd: Path) -> Said:
        """Run lines of shell as a reader would type them, up to the first one that fails."""
        return self._finished(["sh", "-e", "-c", script], cwd=cwd)

    def environ(self) -> dict[str, str]:
        """The variables that commands in the environment see."""
        search = f"{self.path / 'bin'}{os.pathsep}{os.environ['PATH']}"
        own = {"PATH": search, "VIRTUAL_ENV": str(self.path), "CODEX_HOME": str(self.path / "codex")}
        quiet = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "OMP_NUM_THREADS": "1", "PIP_NO_INPUT": "1"}
        return {**os.environ, **own, **quiet}

    def install(self, folders: Sequence[Path], *, cwd: Path) -> Said:
        """Install packages as editable ones."""
        return self.run(*INSTALL, *(argument for folder in folders for argument in ("-e", folder)), cwd=cwd)

    def _finished(self, command: Sequence[str], *, cwd: Path) -> Said:
        done = subprocess.run(
            command,
            cwd=cwd,
            env=self.environ(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        return Said(code=done.returncode, out=done.stdout, err=done.stderr)

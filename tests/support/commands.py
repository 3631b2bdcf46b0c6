"""The command line as a user has it: a process of its own, in a project of its own."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

TIMEOUT_S = 180.0
PACKAGES = ("codex_core", "codex_models", "codex_safety", "codex_telemetry", "codex_tokenizers")


@attrs.frozen(kw_only=True)
class Said:
    """What a finished command said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one JSON object on stdout."""
        value: dict[str, Any] = json.loads(self.out)
        return value


@attrs.frozen
class Project:
    """A folder in which commands run, with a `.codex` of its own; `environ` is added to this process's."""

    path: Path
    environ: Mapping[str, str] = attrs.field(factory=dict)
    flags: tuple[str, ...] = ()

    @classmethod
    def make(cls, path: Path, **environ: str) -> Project:
        """A new project at `path`, one thread per process."""
        (path / ".codex").mkdir(parents=True)
        return cls(path, {"OMP_NUM_THREADS": "1", **environ})

    def without(self, *names: str) -> Project:
        """The same project seen by a Python in whose installation these modules and distributions do not exist."""
        site = self.path / f"site-without-{'-'.join(names)}"
        if not site.exists():
            link_site(site, without=names)
        inherited = os.environ.get("PYTHONPATH", "")
        search = os.pathsep.join(filter(None, [inherited, str(site), *source_folders(without=names)]))
        return attrs.evolve(self, environ={**self.environ, "PYTHONPATH": search}, flags=("-S",))

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """Start `codex` with arguments and do not wait."""
        command = [sys.executable, *self.flags, "-m", "codex_core", *map(str, arguments)]
        return subprocess.Popen(
            command,
            cwd=self.path,
            env={**os.environ, **self.environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def codex(self, *arguments: str | Path) -> Said:
        """Run `codex` with arguments to its end."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=TIMEOUT_S)
        return Said(code=process.returncode, out=out, err=err)

    def codex_until(self, seen: str, *arguments: str | Path, run: Path, send: int = signal.SIGKILL) -> Said:
        """Run `codex` until the journal of `run` holds the text `seen`, then send a signal and wait for the end."""
        process = self.start(*arguments)
        deadline = time.monotonic() + TIMEOUT_S
        while process.poll() is None and not holds(run, seen):
            assert time.monotonic() < deadline, f"{seen!r} was not seen in time"
            time.sleep(0.002)
        if process.poll() is None:
            process.send_signal(send)
        out, err = process.communicate(timeout=TIMEOUT_S)
        return Said(code=process.returncode, out=out, err=err)

    def rows(self) -> list[dict[str, Any]]:
        """The rows of the project's own journal."""
        path = self.path / ".codex" / "journal.ndjson"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def link_site(site: Path, *, without: Sequence[str]) -> None:
    """Make a folder of links to everything in this installation but some modules and distributions."""
    site.mkdir()
    for folder in [Path(path) for path in sys.path if Path(path).name == "site-packages"]:
        for entry in folder.iterdir():
            name = entry.name.partition("-")[0].partition(".")[0]
            hidden = any(name.lower() in (other, other.replace("-", "_")) for other in without)
            if not hidden and entry.suffix != ".pth" and not (site / entry.name).exists():
                (site / entry.name).symlink_to(entry)


def source_folders(*, without: Sequence[str]) -> list[str]:
    """Where our own packages are imported from, as far as they are editable and not hidden."""
    found = [importlib.util.find_spec(name) for name in PACKAGES if name not in without]
    folders = [str(Path(spec.origin).parent.parent) for spec in found if spec and spec.origin]
    return [folder for folder in folders if not folder.endswith("site-packages")]


def holds(run: Path, text: str) -> bool:
    """Whether some journal segment of a run holds a text."""
    return any(text in path.read_text(errors="replace") for path in run.glob("journal/*.ndjson"))


def final_state(run: Path) -> dict[str, bytes]:
    """What must not depend on how a run came to its end: newest checkpoint without its manifest, metric views."""
    newest = max(run.glob("checkpoints/step-*[0-9]"))
    files = [path for path in newest.rglob("*") if path.is_file() and path.name != "MANIFEST.json"]
    state = {path.relative_to(newest).as_posix(): path.read_bytes() for path in files}
    return state | {name: (run / name).read_bytes() for name in ("metrics.ndjson", "metrics.csv")}


def safety_line() -> str:
    """The `safety` line of a test's configuration: what is installed, else none and why."""
    if importlib.util.find_spec("codex_safety"):
        return "safety: secrets\n"
    return "safety: {name: none, reason: codex-safety is not installed}\n"

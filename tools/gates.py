"""The gates of `hatch run test:all`, in order, one line each: hooks, style, import contracts, types, tests, coverage.

Decisions: the quick gates all run, so that one session shows everything; the tests run only when they are green.
What a quick gate prints is shown when it is red. A tool that is missing is a failure with a hint and one row in
`.codex/journal.ndjson`, never a pass. Coverage is judged here, from the artefact `build/coverage.json`, by the one
number in `pyproject.toml`; a session that could not measure it says so and is red.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
ARTEFACT = Path("build") / "coverage.json"
HINT = "hatch env remove test && hatch run test:all"


class Gate(NamedTuple):
    """Commands that must all succeed, and the module without which they cannot run."""

    name: str
    needs: str
    commands: tuple[tuple[str, ...], ...]


class Result(NamedTuple):
    """How a gate ended; only `ok` is green."""

    name: str
    verdict: str
    seconds: float
    note: str = ""

    def line(self) -> str:
        """The one line that is printed."""
        return f"gate {self.name:<10} {self.verdict:<12} {self.seconds:7.1f} s  {self.note}".rstrip()


QUICK = (
    Gate("pre-commit", "pre_commit", ((sys.executable, "-m", "pre_commit", "run", "--all-files"),)),
    Gate(
        "style",
        "ruff",
        (
            (sys.executable, "-m", "ruff", "check", "."),
            (sys.executable, "-m", "ruff", "format", "--check", "."),
        ),
    ),
    Gate("imports", "importlinter", ((str(Path(sys.executable).with_name("lint-imports")),),)),
    Gate("types", "mypy", ((sys.executable, "-m", "mypy"),)),
)


def is_installed(module: str) -> bool:
    """Tell whether a top-level module stands on the disk."""
    return importlib.util.find_spec(module) is not None


def run_quick(gate: Gate, *, root: Path) -> Result:
    """Run a gate; its output is shown only when it fails."""
    start = time.monotonic()
    if not is_installed(gate.needs):
        return missing(gate, root=root)
    environ = {
        name: value for name, value in os.environ.items() if name != "SKIP"
    }  # it would skip hooks silently
    environ["PRE_COMMIT_HOME"] = str(root / "build" / "pre-commit")
    for command in gate.commands:
        done = subprocess.run(
            command,
            cwd=root,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            print(done.stdout, flush=True)
            shown = [Path(command[0]).name, *command[1:]]
            note = f"{' '.join(shown)} exited with {done.returncode}"
            return Result(gate.name, "failed", time.monotonic() - start, note)
    return Result(gate.name, "ok", time.monotonic() - start)


def missing(gate: Gate, *, root: Path) -> Result:
    """Refuse a gate whose tool is not installed, and note it in the project's journal."""
    # Imported here, because the gates also judge a core that cannot be imported.
    from codex_core.places import find_places
    from codex_core.running import project_journal

    what = f"{gate.needs} is not installed"
    noted = project_journal.append(find_places(root), "gate", {"gate": gate.name, "what": what, "fix": HINT})
    note = f"{what}; fix: {HINT}" if noted else f"{what}; fix: {HINT}; the journal could not be written"
    return Result(gate.name, "missing", 0.0, note)


def test_command(arguments: Sequence[str], *, installed: Callable[[str], bool], cores: int) -> list[str]:
    """The command of the tests: on two processes where that can help, measured where it can be."""
    command = [sys.executable, "-m", "pytest", "-m", "not proof"]
    if installed("xdist") and cores > 1:
        # Whole files, in their order: a fixture of a module is set up once, and the slow files come first.
        command += ["-n", "2", "--dist", "loadfile", "--no-loadscope-reorder"]
    if installed("pytest_cov"):
        command += ["--cov", "--cov-fail-under=0", f"--cov-report=json:{ARTEFACT}"]
    return [*command, *arguments]


def run_tests(arguments: Sequence[str], *, root: Path) -> Result:
    """Run everything that is not a proof; the output goes straight through."""
    start = time.monotonic()
    (root / ARTEFACT).unlink(missing_ok=True)
    (root / "build" / "coverage").mkdir(parents=True, exist_ok=True)
    command = test_command(arguments, installed=is_installed, cores=os.cpu_count() or 1)
    done = subprocess.run(command, cwd=root, stdin=subprocess.DEVNULL, check=False)
    note = "" if is_installed("xdist") else "pytest-xdist is not installed: one process"
    if done.returncode:
        note = f"pytest exited with {done.returncode}"
    return Result("tests", "failed" if done.returncode else "ok", time.monotonic() - start, note)


def judge_coverage(*, root: Path) -> Result:
    """Compare the artefact with the one number of the repository."""
    if not is_installed("pytest_cov"):
        return Result("coverage", "not measured", 0.0, "pytest-cov is not installed")
    if not (root / ARTEFACT).is_file():
        return Result("coverage", "not measured", 0.0, f"the tests wrote no {ARTEFACT}")
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    least = settings["tool"]["coverage"]["report"]["fail_under"]
    totals = json.loads((root / ARTEFACT).read_text(encoding="utf-8"))["totals"]
    branches, both = totals["percent_branches_covered"], totals["percent_covered"]
    note = f"{branches:.1f} % of branches, {both:.1f} % of lines and branches; at least {least} %; {ARTEFACT}"
    return Result("coverage", "ok" if min(branches, both) >= least else "failed", 0.0, note)


def main(arguments: Sequence[str], *, root: Path = ROOT, quick: Sequence[Gate] = QUICK) -> int:
    """Run all gates; `arguments` go to pytest. 0 when every gate is green, else 1."""
    results: list[Result] = []

    def passed(result: Result) -> bool:
        print(result.line(), flush=True)
        results.append(result)
        return result.verdict == "ok"

    for gate in quick:
        passed(run_quick(gate, root=root))
    if all(result.verdict == "ok" for result in results):
        passed(run_tests(arguments, root=root))
        passed(judge_coverage(root=root))
    else:
        passed(Result("tests", "not run", 0.0, "a gate before them is red"))
    red = [result.name for result in results if result.verdict != "ok"]
    print(f"gates: {'red: ' + ', '.join(red) if red else 'all green'}", flush=True)
    return 1 if red else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

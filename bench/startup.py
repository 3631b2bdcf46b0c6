"""What starting Codex costs, as CPU time in units of `python -c pass`: the table of start-up bars, measured here.

Decisions: CPU time (user and system) of whole processes, because it varies less than wall time on a shared
machine; every round runs the floor and all cases in a new order, so that neighbours disturb all alike; medians
over rounds; one process per sample. The floor has the same search path as the cases. Cold means an index folder
that is new; byte code and file caches are warm throughout.

    python bench/startup.py [--samples 9] [--output bench/results/startup.md]
"""

from __future__ import annotations

import argparse
import compileall
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

BENCH = Path(__file__).resolve().parent
sys.path.insert(0, str(BENCH))

from distributions import install  # noqa: E402 - the folder of this file is not always on the path

FLOOR = "python -c pass"
RESOLVE = "from codex_core import load_component; load_component('tokenizers', 'tok-0007')"


#: How long the registry takes a file for young.
YOUNG_S = 2.5
#: What pressing TAB runs, in a shell that has read the script.
TAB = """
. completion.bash
COMP_WORDS=(codex registry li) COMP_CWORD=2
_codex
[ "${COMPREPLY[*]}" = list ]
"""


class Case(NamedTuple):
    """A command, its bar in units of the floor (None: shown only), and whether the registry must look anew."""

    name: str
    argv: tuple[str, ...]
    bar: float | None
    is_cold: bool = False
    #: MiB above the floor that the process may take at its peak; None: not asked.
    bar_mb: float | None = None


class Sample(NamedTuple):
    """What one process took, with the children it waited for."""

    cpu_s: float
    peak_mb: float


class Measured(NamedTuple):
    """A case against its bars: medians, over so many rounds, for so many distributions."""

    case: Case
    distributions: int
    ratio: float
    more_mb: float

    @property
    def holds(self) -> bool:
        """Whether the case keeps all its bars."""
        bars = ((self.ratio, self.case.bar), (self.more_mb, self.case.bar_mb))
        return all(bar is None or value <= bar for value, bar in bars)


def cases(distributions: int) -> list[Case]:
    """The rows of the table for a number of distributions."""
    listing = (*codex(), "registry", "list", "--json")
    if distributions >= 1000:
        return [
            Case("registry list --json, warm", listing, 4.5, bar_mb=15),
            Case("registry list --json, cold", listing, 90, is_cold=True, bar_mb=40),
        ]
    return [
        Case("--version", (*codex(), "--version"), 1.7),
        Case("--help", (*codex(), "--help"), 5),
        Case("completion: a TAB in bash", ("/bin/bash", "-c", TAB), 5),
        Case("completion: the script, once", (*codex(), "completion", "bash"), None),
        Case("registry list --json, warm", listing, 2),
        Case("registry list, warm", listing[:-1], 6),
        Case("registry list --json, cold", listing, 20, is_cold=True),
        Case("a component resolved and imported", (sys.executable, "-c", RESOLVE), 2.5),
        Case("config validate", (*codex(), "config", "validate", str(largest_configuration())), 18),
    ]


def codex() -> tuple[str, ...]:
    """The command as an installation has it, else the module."""
    script = Path(sys.executable).with_name("codex")
    return (sys.executable, str(script)) if script.is_file() else (sys.executable, "-m", "codex_core")


def largest_configuration() -> Path:
    """The largest configuration that codex-core ships."""
    return max(package().glob("presets/*.yaml"), key=lambda path: path.stat().st_size)


def package() -> Path:
    """Where codex-core lies."""
    import codex_core

    return Path(codex_core.__file__).parent


def measure(wanted: Sequence[Case], distributions: int, *, samples: int, seed: int = 0) -> list[Measured]:
    """Run every case `samples` times; raises `RuntimeError` when one fails."""
    with tempfile.TemporaryDirectory(prefix="codex-bench-") as name:
        folder = Path(name)
        site = install(folder / "site", distributions)
        compileall.compile_dir(
            package(), quiet=1
        )  # as installers do; an editable installation lacks some of it
        floor = Case(FLOOR, (sys.executable, "-c", "pass"), None)
        script = subprocess.run([*codex(), "completion", "bash"], capture_output=True, check=True)
        (folder / "completion.bash").write_bytes(script.stdout)
        first = Case("first look", (*codex(), "registry", "list"), None)
        run(first, folder, site)
        time.sleep(YOUNG_S)  # until then the stored answer is checked by content
        run(first, folder, site)
        taken: dict[Case, list[Sample]] = {case: [] for case in (floor, *wanted)}
        order = random.Random(seed)
        for _ in range(samples):
            for case in order.sample(list(taken), k=len(taken)):
                taken[case].append(run(case, folder, site))
    cpu_s, peak_mb = medians(taken[floor])
    return [
        Measured(case, distributions, used.cpu_s / cpu_s, used.peak_mb - peak_mb)
        for case in wanted
        for used in [medians(taken[case])]
    ]


def run(case: Case, folder: Path, site: Path) -> Sample:
    """One process of a case."""
    index = tempfile.mkdtemp(dir=folder) if case.is_cold else str(folder / "index")
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR")
    environ = {name: os.environ[name] for name in kept if name in os.environ}
    environ |= {"PYTHONPATH": str(site), "CODEX_INDEX": index, "CODEX_HOME": str(folder / "home")}
    command = [sys.executable, "-I", "-S", str(BENCH / "spawn.py"), *case.argv]
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=True)
    cpu_s, peak_mb, status = done.stdout.split()
    if status != "0":
        raise RuntimeError(f"{case.name} ended with {status}: {done.stderr}")
    return Sample(float(cpu_s), float(peak_mb))


def medians(samples: Iterable[Sample]) -> Sample:
    """Each number's median."""
    return Sample(*(statistics.median(column) for column in zip(*samples, strict=True)))


def table(measured: Iterable[Measured]) -> str:
    """The results as a Markdown table."""
    lines = [
        "| case | distributions | CPU / floor | bar | MiB above floor | bar | verdict |",
        "|---|---:|---:|---:|---:|---:|---|",
    ]
    for one in measured:
        bar, bar_mb = ("–" if value is None else f"{value:g}" for value in (one.case.bar, one.case.bar_mb))
        verdict = "–" if one.case.bar is None else "holds" if one.holds else "MISSED"
        cells = (
            one.case.name,
            one.distributions,
            f"{one.ratio:.2f}",
            bar,
            f"{one.more_mb:.1f}",
            bar_mb,
            verdict,
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def machine() -> str:
    """The machine in words: cores, processor, Python, how busy it is."""
    model = platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return (
        f"{os.cpu_count()} cores of {model}, {platform.system()}, CPython {platform.python_version()}{load}"
    )


def report(measured: Sequence[Measured], *, samples: int, command: str) -> str:
    """The table with what is needed to judge it: command, machine, date."""
    return (
        "# Start-up bars\n\n"
        f"CPU time (user and system) of a process in units of `{FLOOR}`, medians over {samples} rounds in which\n"
        "floor and cases take turns; the distributions lie on the path besides those of the environment.\n\n"
        f"- command: `{command}`\n- machine: {machine()}\n- date: {time.strftime('%Y-%m-%d')}\n\n"
        f"{table(measured)}\n"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the table, say by the exit code whether every bar holds."""
    parser = argparse.ArgumentParser(description="Measure what starting Codex costs.")
    parser.add_argument("--samples", type=int, default=9, help="rounds (default 9)")
    parser.add_argument("--distributions", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--output", type=Path, help="also write the report to this file")
    given = parser.parse_args(argv)
    measured: list[Measured] = []
    for distributions in given.distributions:
        measured += measure(cases(distributions), distributions, samples=given.samples)
    text = report(
        measured, samples=given.samples, command=f"python bench/startup.py --samples {given.samples}"
    )
    print(text)
    if given.output is not None:
        given.output.write_text(text, encoding="utf-8")
    return 0 if all(one.holds for one in measured) else 1


if __name__ == "__main__":
    sys.exit(main())

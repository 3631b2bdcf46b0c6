"""Peer and ours in turns, one process per sample, with what other processes took from the machine beside it.

Decisions: a case is a command whose last line of output is one JSON object with the numbers it measured itself (so
that start-up does not count unless it is meant to); rounds go over all cases in turn, because neighbours come and
go; a sample is clean when other processes took at most 6 % of the machine meanwhile, and medians are over clean
samples, else over the better half, which the table then says.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

CLEAN_SHARE = 0.06
_TICKS = os.sysconf("SC_CLK_TCK")


class Case(NamedTuple):
    """A command to measure; `environ` is added to the environment."""

    name: str
    command: Sequence[str]
    environ: Mapping[str, str] = {}


class Sample(NamedTuple):
    """What one process printed, and the share of the machine that others had meanwhile."""

    numbers: Mapping[str, float]
    foreign: float

    @property
    def is_clean(self) -> bool:
        """Whether others left the machine alone."""
        return self.foreign <= CLEAN_SHARE


class Summary(NamedTuple):
    """Median and range over the samples that count."""

    median: float
    lowest: float
    highest: float
    count: int
    of: int
    is_clean: bool

    def __str__(self) -> str:
        kind = "clean" if self.is_clean else "better half"
        return f"{self.median:,.4g} [{self.lowest:,.4g}..{self.highest:,.4g}] ({self.count} of {self.of}, {kind})"


def measure(cases: Sequence[Case], *, rounds: int, timeout_s: float = 900) -> dict[str, list[Sample]]:
    """Samples by case, the cases in turn; a case that fails raises with the end of what it said."""
    found: dict[str, list[Sample]] = {case.name: [] for case in cases}
    for number in range(rounds):
        for case in cases:
            sample = _sample(case, timeout_s)
            found[case.name].append(sample)
            print(
                f"round {number + 1}: {case.name}: {dict(sample.numbers)}, others {sample.foreign:.0%}",
                file=sys.stderr,
                flush=True,
            )
    return found


def summarise(samples: Sequence[Sample], key: str, *, higher_is_better: bool = True) -> Summary:
    """Median and range of one number: over clean samples when there are three, else over the better half."""
    clean = sorted(sample.numbers[key] for sample in samples if sample.is_clean)
    is_clean = len(clean) >= min(3, len(samples))
    if is_clean:
        values = clean
    else:
        ordered = sorted((sample.numbers[key] for sample in samples), reverse=higher_is_better)
        values = sorted(ordered[: -(-len(ordered) // 2)])
    return Summary(statistics.median(values), values[0], values[-1], len(values), len(samples), is_clean)


def _sample(case: Case, timeout_s: float) -> Sample:
    busy, own, start = _busy_s(), _own_s(), time.monotonic()
    ended = subprocess.run(
        case.command,
        env={**os.environ, **case.environ},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    wall = time.monotonic() - start
    foreign = max(0.0, _busy_s() - busy - (_own_s() - own)) / (wall * (os.cpu_count() or 1))
    if ended.returncode:
        raise SystemExit(f"{case.name} failed with {ended.returncode}:\n{ended.stderr[-2000:]}")
    return Sample(json.loads(ended.stdout.strip().splitlines()[-1]), foreign)


def _busy_s() -> float:
    """Seconds that all processors were busy since the start, in user or system mode."""
    with open("/proc/stat") as stat:
        user, nice, system, _, _, irq, softirq, steal = map(int, stat.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / _TICKS


def _own_s() -> float:
    """Seconds that this process and its ended children used."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def machine() -> str:
    """The machine in words, for result files."""
    model = platform.processor() or platform.machine()
    with open("/proc/cpuinfo") as lines:
        model = next(
            (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model
        )
    return f"{os.cpu_count()} x {model}, Python {platform.python_version()}"


def report(title: str, *, argv: Sequence[str], lines: Sequence[str], facts: Mapping[str, Any]) -> str:
    """A result as Markdown: what was run, where, when, and the lines of the table."""
    head = [
        f"# {title}",
        "",
        f"- command: `python {' '.join(argv)}`",
        f"- machine: {machine()}",
        f"- date: {time.strftime('%Y-%m-%d')}",
        *(f"- {name}: {value}" for name, value in facts.items()),
        "",
    ]
    return "\n".join([*head, *lines]) + "\n"

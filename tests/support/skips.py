"""Which tests may be skipped, and why: every other reason fails the session.

Decisions: a reason is a pattern with a bound, so that a suite which quietly skips itself away turns red; a reason
that blames a missing module counts only where the module is missing; folders of packages that are not installed
are left out as a whole and named in the summary.
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import NamedTuple

import pytest


class Allowed(NamedTuple):
    """A reason to skip, and how many tests may give it."""

    pattern: str
    most: int


#: Reasons that hold wherever the suite runs.
ALLOWED = (
    Allowed(r"needs an accelerator", 40),
    Allowed(r"needs a C\+\+ compiler", 5),
    Allowed(r"`unshare -n` is not permitted here", 3),
    Allowed(r"the environment was not made by Hatch", 3),
    Allowed(r"there is no git here", 3),
    Allowed(r"root may read and write everything", 10),
    Allowed(r"runs on Linux only", 10),
)

#: Modules whose absence is a reason: the siblings and what the core must do without.
OPTIONAL = (
    "codex_models", "codex_safety", "codex_telemetry", "codex_tokenizers",
    "torch", "tokenizers", "tensorboard", "structlog", "psutil", "jinja2",
    "transformers", "peft", "sentencepiece", "tiktoken", "pyarrow", "zstandard", "datasets",
    "sphinx", "myst_parser", "hatchling", "mypy", "importlinter", "pre_commit", "ruff", "packaging",
    "jsonschema", "pytest_cov", "xdist",
)  # fmt: skip
MISSING = re.compile(r"could not import '([\w.]+)'")


def is_installed(module: str) -> bool:
    """Tell whether a top-level module stands on the disk; nothing is imported."""
    return importlib.util.find_spec(module.partition(".")[0]) is not None


def may_skip(reason: str) -> str | None:
    """The rule under which a reason is allowed, or `None`."""
    if missing := MISSING.search(reason):
        module = missing[1].partition(".")[0]
        return f"{module} is not installed" if module in OPTIONAL and not is_installed(module) else None
    return next((rule.pattern for rule in ALLOWED if re.search(rule.pattern, reason)), None)


def offences(reasons: list[str]) -> list[str]:
    """What is wrong with the reasons that a session gave: unknown ones, and known ones that came too often."""
    found = [
        f"not an allowed reason to skip: {reason}"
        for reason in dict.fromkeys(reasons)
        if not may_skip(reason)
    ]
    for rule in ALLOWED:
        if (times := sum(may_skip(reason) == rule.pattern for reason in reasons)) > rule.most:
            found.append(f"skipped {times} times, at most {rule.most} are allowed: {rule.pattern}")
    return found


class SkipRules:
    """Collects the reasons of a session and fails it for those that are not allowed."""

    def __init__(self) -> None:
        self.reasons: list[str] = []
        self.left_out: dict[str, str] = {}

    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        """Leave out `tests/unit/<package>` where that package is not installed."""
        if collection_path.is_dir() and collection_path.parent.name == "unit":
            package = "codex_" + collection_path.name.removeprefix("codex_")
            if package in OPTIONAL and not is_installed(package):
                self.left_out[f"{collection_path.parent.parent.name}/unit/{collection_path.name}"] = package
                return True
        return None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note the reason of a skipped test."""
        if report.skipped and not hasattr(report, "wasxfail"):
            self._note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note the reason of a skipped module."""
        if report.skipped:
            self._note(report)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Turn a green session red if it skipped what it may not."""
        if offences(self.reasons) and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Name the folders that were left out and the reasons that are not allowed."""
        for folder, package in self.left_out.items():
            terminalreporter.write_line(f"left out: {folder} ({package} is not installed)")
        for offence in offences(self.reasons):
            terminalreporter.write_line(f"skip rules: {offence}", red=True)

    def _note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        self.reasons.append(text.removeprefix("Skipped: "))

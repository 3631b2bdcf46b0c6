"""The conformance kit as a plugin of pytest: `pytest -p codex_core.testing --codex-dist my-dist`.

Decisions: one test per component and one per plugin module, added to whatever is collected anyway, with the marker
`codex_conformance` (`-m codex_conformance` runs them alone); the registry is opened once, sees the named
distributions and the built-in ones, and keeps its index in a temporary folder, so that nothing of the user's is
touched; a broken promise is reported as its sentence, anything else with its traceback.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from codex_core.errors import CodexError
from codex_core.registry import Registry
from codex_core.testing import conformance, corpus
from codex_core.testing.faulty_files import FaultyFiles

MARKER = "codex_conformance"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--codex-dist`."""
    group = parser.getgroup("codex", "conformance of Codex plugins")
    group.addoption(
        "--codex-dist",
        action="append",
        default=[],
        metavar="DIST",
        help="check every component of this installed distribution; may be given several times",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line("markers", f"{MARKER}: a component against the suite of its kind")


def pytest_report_header(config: pytest.Config) -> str:
    """Say which kit judges, and whom."""
    return f"{conformance.KIT}; checking: {', '.join(config.getoption('codex_dist')) or 'nothing (no --codex-dist)'}"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(session: pytest.Session, items: list[pytest.Item]) -> None:
    """Add the tests of the named distributions."""
    dists = session.config.getoption("codex_dist")
    if not dists:
        return
    try:
        registry = conformance.open_registry(dists)
        found = [case for dist in dists for case in conformance.cases(registry, dist)]
    except CodexError as error:
        raise pytest.UsageError(str(error)) from None
    items += [
        ConformanceItem.from_parent(session, name=case.id, case=case, registry=registry) for case in found
    ]


class ConformanceItem(pytest.Item):
    """One component, or one plugin module, as a test."""

    def __init__(self, *, case: conformance.Case, registry: Registry, **given: object) -> None:
        super().__init__(**given)  # type: ignore[arg-type] # pytest's own arguments, passed through
        self.case, self.registry = case, registry
        self.add_marker(MARKER)

    def runtest(self) -> None:
        """Run the suite in a temporary folder."""
        with tempfile.TemporaryDirectory(prefix="codex-conformance-") as folder:
            conformance.check(self.case, self.registry, folder=Path(folder))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: object = None) -> str:
        """The broken promise in its sentence; anything else as pytest shows it."""
        if isinstance(excinfo.value, (AssertionError, CodexError)):
            cause = excinfo.value.__cause__
            behind = f"\n\ncaused by\n{excinfo.getrepr(style='native')}" if cause is not None else ""
            return f"{self.case.id}: {excinfo.value}{behind}"
        return f"{self.case.id}\n{excinfo.getrepr(style='short')}"

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Where the component is said to be."""
        return Path(self.case.row.location or "."), None, f"conformance: {self.case.id}"


@pytest.fixture
def codex_corpus(tmp_path: Path) -> Path:
    """A folder with the tiny corpus: `plain.txt`, `rows.jsonl`, and under `bad/` what a reader must refuse."""
    folder = tmp_path / "codex-corpus"
    corpus.write(folder)
    return folder


@pytest.fixture
def codex_faulty_files() -> Callable[..., FaultyFiles]:
    """Make files that fail at operation `at`, as `mode` says (`fail`, `short`, `full`, `kill`, `kill-half`)."""
    return FaultyFiles

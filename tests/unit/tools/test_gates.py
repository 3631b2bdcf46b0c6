"""The gates: each has one line and a verdict; what is missing or unmeasured is never a pass."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import gates
import pytest

GREEN = gates.Gate("green", "json", ((sys.executable, "-c", "print('quiet')"),))
RED = gates.Gate("red", "json", ((sys.executable, "-c", "print('the reason'); raise SystemExit(3)"),))
ABSENT = gates.Gate("pre-commit", "no_such_module", ((sys.executable, "-c", "raise SystemExit(0)"),))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with one test that passes and a coverage number."""
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_it.py").write_text("def test_it():\n    pass\n")
    (tmp_path / "pyproject.toml").write_text(
        "[tool.pytest.ini_options]\nmarkers = ['proof']\n"
        "[tool.coverage.run]\ndata_file = 'build/coverage/data'\n"
        "[tool.coverage.report]\nfail_under = 50\n"
    )
    (tmp_path / ".git").mkdir()
    return tmp_path


def test_red_gate_shows_its_output_and_stops_the_tests(root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A red gate shows what it said, the other quick gates still run, and the tests do not."""
    assert gates.main([], root=root, quick=[RED, GREEN]) == 1

    lines = [line.split()[:3] for line in capfd.readouterr().out.splitlines() if line.startswith("gate ")]
    assert lines == [["gate", "red", "failed"], ["gate", "green", "ok"], ["gate", "tests", "not"]]


def test_green_gate_is_quiet_and_red_gate_is_not(root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The output of a gate is shown exactly when it fails."""
    gates.run_quick(GREEN, root=root)
    gates.run_quick(RED, root=root)

    shown = capfd.readouterr().out
    assert "quiet" not in shown
    assert "the reason" in shown


def test_missing_tool_fails_with_a_hint_and_one_row(root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A missing pre-commit is red, says how to get it, and leaves exactly one row in the project's journal."""
    assert gates.main([], root=root, quick=[ABSENT, GREEN]) == 1

    shown = capfd.readouterr().out
    assert "missing" in shown
    assert gates.HINT in shown
    (row,) = (root / ".codex" / "journal.ndjson").read_text().splitlines()
    assert json.loads(row)["gate"] == "pre-commit"
    assert json.loads(row)["fix"] == gates.HINT


def test_skipped_hooks_are_not_skipped(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable by which pre-commit would skip hooks in silence does not reach it."""
    monkeypatch.setenv("SKIP", "hygiene")
    gate = gates.Gate(
        "hooks", "json", ((sys.executable, "-c", "import os; assert 'SKIP' not in os.environ"),)
    )

    assert gates.run_quick(gate, root=root).verdict == "ok"


@pytest.mark.slow
def test_unmeasured_coverage_is_not_a_pass(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without pytest-cov the tests still run, coverage is called not measured, and the whole is red."""
    monkeypatch.setattr(gates, "is_installed", lambda module: module not in ("pytest_cov", "xdist"))

    command = gates.test_command([], installed=gates.is_installed, cores=2)
    assert not [part for part in command if part.startswith(("--cov", "-n"))]
    assert gates.main(["-q"], root=root, quick=[]) == 1
    assert gates.judge_coverage(root=root).verdict == "not measured"


@pytest.mark.parametrize(
    ("branches", "both", "verdict"),
    [(49.9, 80.0, "failed"), (80.0, 49.9, "failed"), (50.0, 50.0, "ok")],
)
def test_coverage_is_judged_by_the_one_number(
    root: Path, branches: float, both: float, verdict: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number in `pyproject.toml` decides, for branches alone and with lines; a hair below is red."""
    monkeypatch.setattr(gates, "is_installed", lambda module: True)
    (root / "build").mkdir()
    totals = {"percent_branches_covered": branches, "percent_covered": both}
    (root / gates.ARTEFACT).write_text(json.dumps({"totals": totals}))

    assert gates.judge_coverage(root=root).verdict == verdict


def test_missing_artefact_is_not_a_pass(root: Path) -> None:
    """Tests that wrote no coverage artefact were not measured, whatever they said."""
    pytest.importorskip("pytest_cov")

    assert gates.judge_coverage(root=root).verdict == "not measured"


def test_all_gates_stand_in_the_order_of_the_rules() -> None:
    """Hooks come first, then style, import contracts and types."""
    assert [gate.name for gate in gates.QUICK] == ["pre-commit", "style", "imports", "types"]


@pytest.mark.parametrize(("cores", "parallel"), [(1, False), (2, True)])
def test_tests_use_two_processes_where_it_helps(cores: int, parallel: bool) -> None:
    """On one core a second process would only cost its start."""
    command = gates.test_command(["-x"], installed=lambda module: True, cores=cores)

    assert ("-n" in command) is parallel
    assert command[-1] == "-x"

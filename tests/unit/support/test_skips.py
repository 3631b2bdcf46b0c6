"""The skip rules: reasons are known, true and bounded, or the session is red."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import skips, sockets


def _session(folder: Path, body: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_planted.py").write_text(f"import pytest\n\n{body}\n")
    command = [sys.executable, "-m", "pytest", "-c", "pyproject.toml", "-p", "tests.conftest"]
    command += [str(folder)]
    return subprocess.run(command, capture_output=True, text=True, cwd=sockets.REPOSITORY, check=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    "body",
    [
        "def test_a():\n    pytest.skip('no time')",
        "@pytest.mark.skip(reason='flaky')\ndef test_a(): pass",
        "pytest.importorskip('left_pad')",
        "pytest.skip('all of it', allow_module_level=True)",
    ],
)
def test_unknown_reason_fails_the_session(body: str, tmp_path: Path) -> None:
    """A reason outside the list turns an otherwise green session red and is printed."""
    session = _session(tmp_path, body + "\n\ndef test_green():\n    pass")

    assert session.returncode not in (0, pytest.ExitCode.INTERNAL_ERROR), session.stdout
    assert "skip rules: not an allowed reason to skip" in session.stdout


@pytest.mark.slow
def test_known_reason_passes_and_is_printed(tmp_path: Path) -> None:
    """An allowed reason leaves the session green and stands in its summary."""
    body = "def test_a():\n    pytest.skip('needs an accelerator')\n\ndef test_green():\n    pass"
    session = _session(tmp_path, body)

    assert session.returncode == 0, session.stdout
    assert "needs an accelerator" in session.stdout


def test_reasons_are_bounded() -> None:
    """A known reason that is given more often than its bound is an offence."""
    rule = skips.ALLOWED[0]

    assert skips.offences([rule.pattern] * rule.most) == []
    (offence,) = skips.offences([rule.pattern] * (rule.most + 1))
    assert str(rule.most + 1) in offence


def test_a_missing_module_must_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blaming an absent module is allowed for the optional ones, and only while they are absent."""
    reason = "could not import 'torch': No module named 'torch'"

    monkeypatch.setattr(skips, "is_installed", lambda module: True)
    assert skips.offences([reason])
    monkeypatch.setattr(skips, "is_installed", lambda module: False)
    assert not skips.offences([reason])
    assert skips.offences(["could not import 'numpy': No module named 'numpy'"])


def test_packages_that_are_not_installed_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package's unit tests are left out, and named, where the package is not installed."""
    rules = skips.SkipRules()
    folder = Path(sockets.REPOSITORY) / "tests" / "unit" / "models"
    monkeypatch.setattr(Path, "is_dir", lambda path: True)

    monkeypatch.setattr(skips, "is_installed", lambda module: True)
    assert rules.pytest_ignore_collect(folder) is None
    monkeypatch.setattr(skips, "is_installed", lambda module: False)
    assert rules.pytest_ignore_collect(folder) is True
    assert rules.left_out == {"tests/unit/models": "codex_models"}
    assert rules.pytest_ignore_collect(folder.with_name("core")) is None

"""The repository passes its own scan."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.commands import Project

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["packages", "tests", "docs", "tools"])
def test_repository_holds_no_secret(folder):
    """`codex safety scan` finds nothing in what we publish; planted secrets of tests are put together from parts."""
    pytest.importorskip("codex_safety")

    said = Project(ROOT).codex("safety", "scan", folder)

    assert said.code == 0, said.out

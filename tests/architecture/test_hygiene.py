"""No tracked file holds what a clone elsewhere would stumble over."""

from __future__ import annotations

import subprocess

import hygiene
import pytest

from tests.architecture.sources import ROOT


@pytest.fixture
def tracked() -> list[str]:
    """The files that git knows."""
    if subprocess.run(
        ["git", "rev-parse", "--git-dir"], cwd=ROOT, capture_output=True, check=False
    ).returncode:
        pytest.skip("there is no git here")
    return [name for name in hygiene.tracked() if (ROOT / name).is_file()]


def test_repository_is_clean(tracked: list[str]) -> None:
    """No conflict mark, stray blank, private key, path of one machine, or name of a package index is tracked."""
    assert [line for name in tracked for line in hygiene.complaints(name, (ROOT / name).read_bytes())] == []


def test_no_file_names_this_clone(tracked: list[str]) -> None:
    """Wherever this clone stands, no tracked file names the place."""
    place = str(ROOT).encode() + b"/"

    assert [name for name in tracked if place in (ROOT / name).read_bytes()] == []

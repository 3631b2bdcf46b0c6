"""A world of fake distributions for every test of the registry."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.distributions import World


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """An empty site, looked at by the real registry."""
    return World(tmp_path, monkeypatch)

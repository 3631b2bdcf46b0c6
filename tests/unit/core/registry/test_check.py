"""`codex registry check DIST`: the conformance suites, run on one distribution in a process of their own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from codex_core.__main__ import main
from codex_core.cli import registry_frozen
from tests.support.distributions import Site, good


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A site that this process and its children search, in an empty project with an index of its own."""
    site = Site(tmp_path / "site")
    monkeypatch.syspath_prepend(str(site.path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site.path), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("CODEX_HOME", str(tmp_path / "home"))
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    return site


@pytest.mark.slow
def test_distribution_that_keeps_the_contracts_passes(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    """A plugin whose component keeps the contract of its kind is exit 0; the project's folder is not touched."""
    site.add("my-tok", good("mytok", target="codex_core.data.bytes_tokenizer:BytesTokenizer"))

    assert main(["registry", "check", "My.Tok"]) == 0

    assert "passed" in capfd.readouterr().out
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.slow
def test_distribution_that_breaks_a_contract_fails(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    """A component without what its kind promises is exit 1, and is named."""
    site.add("my-tok", good("mytok", target="json:JSONEncoder"))

    assert main(["registry", "check", "my-tok"]) == 1

    assert "mytok" in capfd.readouterr().out


def test_check_without_pytest_names_what_to_install(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The suites need pytest; where it is missing the answer is exit 3 with the install line."""
    site.add("my-tok", good("mytok"))
    monkeypatch.setattr(registry_frozen, "is_present", lambda name, search: name != "pytest")

    assert main(["registry", "check", "my-tok"]) == 3

    assert "pip install pytest" in capsys.readouterr().err

"""The environment in which the tests run holds what its name promises."""

from __future__ import annotations

import importlib.metadata
import os
import re
import tomllib

import pytest

from tests.architecture.sources import ROOT, SIBLINGS
from tests.support.skips import is_installed

ENVIRONMENT = os.environ.get("CODEX_ENVIRONMENT")


@pytest.fixture
def environment() -> str:
    """The name of the Hatch environment."""
    if ENVIRONMENT is None:
        pytest.skip("the environment was not made by Hatch")
    return ENVIRONMENT


def test_environment_holds_what_it_promises(environment: str) -> None:
    """`core` has no sibling and no torch on disk; every other one that tests has all packages and every extra."""
    expected = environment != "core"

    assert {name: is_installed(name) for name in (*SIBLINGS, "torch", "tokenizers")} == dict.fromkeys(
        (*SIBLINGS, "torch", "tokenizers"), expected
    )


def test_environment_follows_its_pins(environment: str) -> None:
    """The versions on disk are the pinned ones; a stale environment says how to renew it."""
    differing = []
    for line in (ROOT / "requirements" / f"{environment}.txt").read_text(encoding="utf-8").splitlines():
        match = re.match(r"([\w.-]+)==([\w.]+)$", line)  # without marker: for every machine
        if match is None:
            continue
        name, version = match.groups()
        try:
            installed = importlib.metadata.version(name).partition("+")[0]
        except importlib.metadata.PackageNotFoundError:
            continue  # a pin is a constraint, not a wish
        if installed != version:
            differing.append(f"{name}: {installed} instead of {version}")

    assert differing == [], f"renew it: hatch env remove {environment}"


def test_scripts_name_files_that_exist() -> None:
    """A verb of `hatch.toml` that runs a file of ours finds it."""
    environments = tomllib.loads((ROOT / "hatch.toml").read_text(encoding="utf-8"))["envs"]
    commands = [
        line
        for settings in environments.values()
        for script in settings.get("scripts", {}).values()
        for line in ([script] if isinstance(script, str) else script)
    ]
    named = [match[1] for command in commands if (match := re.match(r"python (\S+\.py)", command))]

    assert named
    assert [name for name in named if not (ROOT / name).is_file()] == []

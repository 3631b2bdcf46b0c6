"""The pins are exact, complete, agree with each other, and lie within the ranges of the packages."""

from __future__ import annotations

import re
import tomllib
from itertools import product
from pathlib import Path

import pytest

from tests.architecture.sources import ROOT

packaging_requirements = pytest.importorskip("packaging.requirements")
Requirement = packaging_requirements.Requirement

import pins  # noqa: E402 - a tool of this repository, after the check above

ENVIRONMENTS = tomllib.loads((ROOT / "hatch.toml").read_text(encoding="utf-8"))["envs"]
FILES = sorted((ROOT / "requirements").glob("*.txt"))

#: Machines for which the pins are read: the newest bug-fix releases matter little, the minor versions do.
MACHINES = [
    {"python_version": python, "python_full_version": f"{python}.9", "sys_platform": system, "platform_system": name,
     "platform_machine": "x86_64", "platform_python_implementation": "CPython", "implementation_name": "cpython",
     "os_name": "posix", "extra": ""}
    for python, (system, name) in product(("3.11", "3.12", "3.13"), (("linux", "Linux"), ("darwin", "Darwin")))
]  # fmt: skip


def _pinned(file: Path, machine: dict[str, str]) -> dict[str, str]:
    """Distribution -> version, as one machine reads a file."""
    found: dict[str, str] = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        pin = Requirement(line)
        if pin.marker is None or pin.marker.evaluate(machine):
            (specifier,) = pin.specifier
            assert specifier.operator == "==", f"{file.name}: {line}"
            name = re.sub(r"[._]+", "-", pin.name.lower())
            assert name not in found, f"{file.name}: {name} has two versions on {machine}"
            found[name] = specifier.version
    return found


def _wanted(environment: str) -> list[str]:
    settings = ENVIRONMENTS[environment]
    inherited = ENVIRONMENTS.get(settings.get("template", "default"), {})
    return pins.requirements({**inherited, **settings}, ENVIRONMENTS["default"])


def test_every_environment_is_pinned() -> None:
    """Each environment of Hatch, and Hatch itself, has a file; no file is left over."""
    assert {file.stem for file in FILES} == {*ENVIRONMENTS, "hatch"} == {*pins.ORDER, "hatch"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_files_hold_pins_alone(file: Path) -> None:
    """A file has one exact version per line: no index, no hash, no option, no local build."""
    lines = file.read_text(encoding="utf-8").splitlines()

    assert [line for line in lines if not re.match(r"#|[\w.-]+==[\w.]+( ; .*)?$", line)] == []


@pytest.mark.parametrize(
    "machine", MACHINES, ids=lambda machine: f"{machine['python_version']}-{machine['sys_platform']}"
)
@pytest.mark.parametrize("environment", sorted(ENVIRONMENTS))
def test_pins_satisfy_every_range(environment: str, machine: dict[str, str]) -> None:
    """Whatever an environment installs is pinned, within the range that the package or `hatch.toml` gives."""
    pinned = _pinned(ROOT / "requirements" / f"{environment}.txt", machine)

    for text in _wanted(environment):
        wanted = Requirement(text)
        if wanted.marker is not None and not wanted.marker.evaluate(machine):
            continue
        version = pinned.get(re.sub(r"[._]+", "-", wanted.name.lower()))
        assert version is not None, f"{environment}: {text} is not pinned"
        assert wanted.specifier.contains(version, prereleases=True), (
            f"{environment}: {version} is outside of {text}"
        )


@pytest.mark.parametrize(
    "machine", MACHINES, ids=lambda machine: f"{machine['python_version']}-{machine['sys_platform']}"
)
def test_environments_agree(machine: dict[str, str]) -> None:
    """Where two environments hold the same distribution, they hold the same version of it."""
    reference = _pinned(ROOT / "requirements" / "test.txt", machine)

    for environment in ENVIRONMENTS:
        pinned = _pinned(ROOT / "requirements" / f"{environment}.txt", machine)
        assert {
            name: version for name, version in pinned.items() if reference.get(name, version) != version
        } == {}


def test_what_is_held_is_pinned() -> None:
    """torch and Hatch stand at the versions that were chosen by hand."""
    torch, hatch = (Requirement(text) for text in pins.HELD)

    assert _pinned(ROOT / "requirements" / "default.txt", MACHINES[0])["torch"] in torch.specifier
    assert _pinned(ROOT / "requirements" / "hatch.txt", MACHINES[0])["hatch"] in hatch.specifier


def test_packages_give_ranges() -> None:
    """Metadata never pins: an exact version there would forbid every other installation."""
    for path in sorted((ROOT / "packages").glob("*/pyproject.toml")):
        project = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
        for needs in (project["dependencies"], *project.get("optional-dependencies", {}).values()):
            assert [text for text in needs if "==" in text] == [], path.parent.name


def test_siblings_guard_the_name_of_the_core() -> None:
    """Every package is 1.x, and a sibling asks for `codex-core>=1.0,<2`: strangers publish up to 0.5.0."""
    for path in sorted((ROOT / "packages").glob("*/pyproject.toml")):
        project = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
        assert project["version"].startswith("1.")
        if project["name"] != "codex-core":
            assert "codex-core>=1.0,<2" in project["dependencies"], project["name"]
    sources = tomllib.loads((ROOT / "hatch.toml").read_text(encoding="utf-8"))["sources"]
    assert sources["codex-core"] == "./packages/codex-core"

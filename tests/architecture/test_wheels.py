"""Every package builds a wheel that holds what it should and works alone, next to the core."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.architecture.sources import PACKAGES, SIBLINGS, files
from tests.support import sockets

DISTRIBUTIONS = sorted(path.name for path in PACKAGES.iterdir())

#: Imports a package and its plugin modules while every other package of ours is out of reach.
PROBE = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
print(sorted({name.partition(".")[0] for name in sys.modules if name.startswith("codex_")}))
"""


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Build a package's wheel, once per session, with nothing but what is installed."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("wheels")

    def build(distribution: str) -> Path:
        pattern = f"{distribution.replace('-', '_')}-*.whl"
        if not list(folder.glob(pattern)):
            command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
            cwd = PACKAGES / distribution
            done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
        (built,) = folder.glob(pattern)
        return built

    return build


def _project(distribution: str) -> dict[str, object]:
    text = (PACKAGES / distribution / "pyproject.toml").read_text(encoding="utf-8")
    return dict(tomllib.loads(text)["project"])


@pytest.mark.slow
@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_wheel_holds_the_sources(distribution: str, wheel: Callable[[str], Path]) -> None:
    """A wheel holds every source file, the typing mark and its data, and nothing of tests or folders around it."""
    package = distribution.replace("-", "_")
    names = set(zipfile.ZipFile(wheel(distribution)).namelist())
    sources = {str(path.relative_to(PACKAGES / distribution / "src")) for path in files(package)}

    assert sources <= names
    assert f"{package}/py.typed" in names
    if package == "codex_core":
        assert "codex_core/known.json" in names
        assert "codex_core/cli/scaffold/common/pyproject.toml.tmpl" in names
    version = re.escape(str(_project(distribution)["version"]))
    assert [name for name in names if not re.match(rf"{package}(/|-{version}\.dist-info/)", name)] == []


@pytest.mark.slow
@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_wheel_works_alone(distribution: str, wheel: Callable[[str], Path], tmp_path: Path) -> None:
    """With the core and its libraries, and no sibling, a package and its plugin modules import."""
    for name in {"codex-core", distribution}:
        zipfile.ZipFile(wheel(name)).extractall(tmp_path / "site")
    points = _project(distribution)["entry-points"]
    assert isinstance(points, dict)
    modules = [distribution.replace("-", "_"), *points["codex.plugins"].values()]
    # Without `site` nothing of the editable installation is found; the third parties come in by their folder.
    libraries = Path(pytest.__file__).parents[1]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path / "site"), str(libraries)])}
    command = [sys.executable, "-S", "-c", PROBE, *modules]

    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert not [sibling for sibling in SIBLINGS if sibling in done.stdout and sibling != modules[0]]


@pytest.mark.slow
def test_core_runs_from_its_wheel(wheel: Callable[[str], Path], tmp_path: Path) -> None:
    """`codex` answers with the core's wheel alone: the console script exists and the registry lists the rooms."""
    archive = zipfile.ZipFile(wheel("codex-core"))
    archive.extractall(tmp_path / "site")
    (points,) = (name for name in archive.namelist() if name.endswith("entry_points.txt"))
    assert "codex = codex_core.__main__:main" in archive.read(points).decode()
    libraries = Path(pytest.__file__).parents[1]
    path = os.pathsep.join([sockets.SITE, str(tmp_path / "site"), str(libraries)])
    environ = {**os.environ, "PYTHONPATH": path, "CODEX_HOME": str(tmp_path / "home")}
    command = [sys.executable, "-S", "-m", "codex_core", "registry", "list"]

    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "ngram" in done.stdout

"""Who may import whom, read from the sources; import-linter holds the same rules along chains of imports."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.architecture.sources import BEHIND, PACKAGES, ROOMS, ROOT, SIBLINGS, files, imports, kernel_files

HEAVY = {"torch", "transformers", "sentencepiece", "peft", "pynvml"}
KERNEL_LIBRARIES = {"attr", "attrs", "blake3", "cattrs", "importlib_metadata", "orjson", "pluggy", "ruamel"}

#: Where a distribution's modules are called otherwise than itself.
MODULES = {
    "attrs": {"attr", "attrs"},
    "nvidia-ml-py": {"pynvml"},
    "ruamel-yaml": {"ruamel"},
}


def _room(path: Path) -> str:
    """The room of a file of the core, or an empty string for the kernel."""
    first = path.relative_to(PACKAGES / "codex-core" / "src" / "codex_core").parts[0]
    return first if first in ROOMS else ""


def test_core_imports_no_sibling_and_nothing_heavy() -> None:
    """The core stands alone: no sibling, no torch, not even inside a function."""
    forbidden = HEAVY | set(SIBLINGS)

    assert [
        str(found) for path in files("codex_core") for found in imports(path) if found.top in forbidden
    ] == []


def test_kernel_imports_few_libraries() -> None:
    """The kernel imports the standard library and the third parties that it is allowed."""
    allowed = KERNEL_LIBRARIES | sys.stdlib_module_names | {"codex_core"}

    assert [
        str(found) for path in kernel_files() for found in imports(path) if found.top not in allowed
    ] == []


def test_kernel_imports_no_room() -> None:
    """Rooms stand on the kernel, never the other way round."""
    rooms = re.compile(rf"codex_core\.({'|'.join(ROOMS)})(\.|$)")

    assert [
        str(found) for path in kernel_files() for found in imports(path) if rooms.match(found.module)
    ] == []


def test_rooms_do_not_import_each_other() -> None:
    """Only the command line, which wires them, imports rooms."""
    wrong = []
    for path in files("codex_core"):
        room = _room(path)
        if room in ("", "cli"):
            continue
        others = re.compile(rf"codex_core\.({'|'.join(other for other in ROOMS if other != room)})(\.|$)")
        wrong += [str(found) for found in imports(path) if others.match(found.module)]

    assert wrong == []


@pytest.mark.parametrize("package", SIBLINGS)
def test_siblings_do_not_import_each_other(package: str) -> None:
    """A sibling imports the public modules of the core and its own libraries, and nothing that stands behind."""
    others = set(SIBLINGS) - {package}
    hidden = re.compile(rf"codex_core\.(({'|'.join(('cli', *BEHIND))})\b|_(?!_)|\w+\._(?!_))")
    wrong = [
        str(found)
        for path in files(package)
        for found in imports(path)
        if found.top in others or hidden.match(found.module)
    ]

    assert wrong == []


def test_plugin_modules_are_light() -> None:
    """Describing components loads nothing: a `plugin.py` imports the core and the standard library.

    What an event hook needs it may import from its own package when it is called.
    """
    allowed = sys.stdlib_module_names | {"codex_core"}
    plugins = [path for path in files() if path.name == "plugin.py"]

    assert [
        str(found)
        for path in plugins
        for found in imports(path)
        if found.top not in allowed and not (found.is_late and found.top == path.parent.name)
    ] == []
    assert [
        str(found)
        for path in plugins
        for found in imports(path)
        if re.match(rf"codex_core\.({'|'.join(ROOMS)})\.", found.module)
        and _target(found.module) != path.parent.name
    ] == []


def _target(module: str) -> str:
    return module.split(".")[1]


@pytest.mark.parametrize("folder", sorted(path.name for path in PACKAGES.iterdir()))
def test_imports_are_declared(folder: str) -> None:
    """What a package imports, its metadata requires, in its dependencies or in an extra."""
    project = tomllib.loads((PACKAGES / folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = list(project["dependencies"])
    for needs in project.get("optional-dependencies", {}).values():
        declared += needs
    allowed = sys.stdlib_module_names | {folder.replace("-", "_")}
    for requirement in declared:
        name = re.sub(r"[._]+", "-", re.split(r"[\s\[<>=!~;]", requirement)[0].lower())
        allowed |= MODULES.get(name, {name.replace("-", "_")})
    if folder == "codex-core":
        allowed |= {"pytest"}  # the conformance kit is used from tests alone

    package = folder.replace("-", "_")
    assert [
        str(found) for path in files(package) for found in imports(path) if found.top not in allowed
    ] == []


def test_import_contracts_hold() -> None:
    """import-linter finds no chain of imports that breaks a contract of `pyproject.toml`."""
    pytest.importorskip("importlinter")
    for package in SIBLINGS:
        pytest.importorskip(package)
    command = Path(sys.executable).with_name("lint-imports")

    checked = subprocess.run([command, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)

    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_a_smuggled_import_is_found(tmp_path: Path) -> None:
    """The reader of sources sees imports in functions and leaves out what only a type checker runs."""
    planted = tmp_path / "planted.py"
    planted.write_text(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import torch.nn\n"
        "else:\n    import numpy\n"
        "def late():\n    from codex_core.data import plugin\n"
    )

    assert [(found.module, found.line) for found in imports(planted)] == [
        ("typing.TYPE_CHECKING", 1),
        ("numpy", 5),
        ("codex_core.data.plugin", 7),
    ]

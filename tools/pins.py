"""Write `requirements/<environment>.txt`: one exact version per distribution that an environment may hold.

    .venv/bin/python tools/pins.py [--upgrade]

Decisions: the files are constraints, applied by Hatch to environments and never part of a package; versions hold
for every platform and for Python 3.11 and later; a version stays until `--upgrade`; all environments agree with
`test`; a wheelhouse on this machine shapes no pin. Needs uv, which comes with Hatch, and an index.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from package_sources import current_uv_variables

ROOT = Path(__file__).resolve().parents[1]
OLDEST_PYTHON = "3.11"

#: Chosen by hand: torch is large, and every figure of ours names its version; Hatch runs all the rest.
HELD = ("torch==2.13.0", "hatch==1.18.2")

#: `test` comes first, because the others follow its versions.
ORDER = ("test", "default", "core", "lint", "types", "docs", "bench", "peer-data")


def requirements(environment: Mapping[str, Any], default: Mapping[str, Any]) -> list[str]:
    """What an environment of `hatch.toml` installs: its own dependencies and those of its member packages."""
    found = list(environment.get("dependencies", []))
    for member in environment.get("workspace", default["workspace"])["members"]:
        path, features = (member, []) if isinstance(member, str) else (member["path"], member["features"])
        project = tomllib.loads((ROOT / path / "pyproject.toml").read_text())["project"]
        found += project["dependencies"]
        for feature in features:
            found += project["optional-dependencies"][feature]
    return [requirement for requirement in found if not requirement.startswith("codex-")]


def resolved(wanted: list[str], *, like: list[Path], keep: Path | None) -> list[str]:
    """The lines of pins for `wanted`, agreeing with the files `like` and preferring the versions of `keep`."""
    build = ROOT / "build"
    build.mkdir(exist_ok=True)
    held = build / "held.txt"
    held.write_text("\n".join(HELD) + "\n")
    output = build / "pins.txt"
    output.write_text(keep.read_text() if keep else "")
    command = ["uv", "pip", "compile", "--quiet", "--universal", "--python-version", OLDEST_PYTHON]
    command += ["--no-header", "--no-annotate", "--output-file", str(output), "-"]
    for file in (held, *like):
        command += ["--constraints", str(file)]
    environ = {**os.environ, **current_uv_variables()}
    environ.pop("UV_FIND_LINKS", None)
    subprocess.run(command, input="\n".join(wanted), text=True, env=environ, check=True, cwd=ROOT)
    return [line for line in output.read_text().splitlines() if line]


def main(arguments: list[str]) -> int:
    """Write all files; the one of Hatch itself serves the set-up commands of the README."""
    upgrade = arguments == ["--upgrade"]
    if arguments and not upgrade:
        print(f"usage: python {Path(__file__).name} [--upgrade]", file=sys.stderr)
        return 2
    environments = tomllib.loads((ROOT / "hatch.toml").read_text())["envs"]
    folder = ROOT / "requirements"
    wanted = {"hatch": ["hatch", "editables"]}  # the second is what an editable build asks for
    for name in ORDER:
        settings = environments[name]
        inherited = environments.get(settings.get("template", "default"), {})
        wanted[name] = requirements({**inherited, **settings}, environments["default"])
    for name, needs in wanted.items():
        file = folder / f"{name}.txt"
        like = [folder / "test.txt"] if name not in ("hatch", "test") else []
        keep = file if file.is_file() and not upgrade else None
        lines = resolved(needs, like=like, keep=keep)
        file.write_text(
            "\n".join([f"# The environment `{name}`, pinned; written by tools/pins.py.", *lines]) + "\n"
        )
        print(f"{file.relative_to(ROOT)}: {len(lines)} distributions")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

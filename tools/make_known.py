"""Write `codex_core/known.json`: what the five packages offer, read from their sources.

    python tools/make_known.py            write the file
    python tools/make_known.py --check    exit 1 when the file is not what the sources give

Plugin modules import nothing heavier than the core, so this runs wherever the core is installed.
"""

from __future__ import annotations

import importlib
import json
import sys
import tomllib
from pathlib import Path
from typing import Any

from codex_core.components import KIND_HOOKS, Component
from codex_core.plugins.requirements import Requirement, bringing, parse_requirement

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "packages" / "codex-core" / "src" / "codex_core" / "known.json"


def entries(package: Path) -> list[dict[str, Any]]:
    """The components of one package, as `known.json` holds them."""
    project = tomllib.loads((package / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = list(project.get("dependencies", ()))
    for extra, names in project.get("optional-dependencies", {}).items():
        lines += [f'{name}; extra == "{extra}"' for name in names]
    requirements = [found for line in lines if (found := parse_requirement(line)) is not None]
    sys.path.insert(0, str(package / "src"))
    try:
        modules = [
            importlib.import_module(name) for name in project["entry-points"]["codex.plugins"].values()
        ]
    finally:
        del sys.path[0]
    return [
        {
            "kind": kind,
            "name": component.name,
            "distribution": project["name"],
            "extra": _extra(component, requirements),
            "capabilities": sorted(component.capabilities),
            "summary": component.summary,
        }
        for module in modules
        for kind, hook in KIND_HOOKS.items()
        if hasattr(module, hook)
        for component in getattr(module, hook)()
    ]


def text() -> str:
    """The content that `known.json` should have."""
    found = [entry for package in sorted((ROOT / "packages").iterdir()) for entry in entries(package)]
    found.sort(key=lambda entry: (entry["kind"], entry["name"], entry["distribution"]))
    return json.dumps({"schema": "codex-known/1", "components": found}, indent=1) + "\n"


def main(arguments: list[str]) -> int:
    """Write or check the file."""
    wanted = text()
    if "--check" in arguments:
        fresh = TARGET.is_file() and TARGET.read_text(encoding="utf-8") == wanted
        print("known.json is fresh" if fresh else "known.json is stale: python tools/make_known.py")
        return int(not fresh)
    TARGET.write_text(wanted, encoding="utf-8")
    return 0


def _extra(component: Component, requirements: list[Requirement]) -> str | None:
    extras = {
        found.extra for name in component.requires if (found := bringing(name, requirements)) and found.extra
    }
    assert len(extras) <= 1, f"{component.name} needs several extras: {extras}"
    return next(iter(extras), None)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

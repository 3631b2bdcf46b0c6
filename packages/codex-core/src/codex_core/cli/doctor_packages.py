"""What is installed, for `codex doctor`: Python, our packages and their extras, plugins, tools, the first `codex`.

Decisions: metadata is read and nothing is imported; packages of ours belong together when their requirements of
`codex-core` hold and all are imported from one place; a tool counts when this Python or the PATH has it.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from codex_core import __version__
from codex_core.cli.finding import Finding, ok
from codex_core.plugins.locate import find_module, is_present
from codex_core.plugins.requirements import DISTRIBUTIONS, Requirement, parse_requirement, satisfies

#: Our distributions, each with what a user goes without while it is not installed.
OURS = {
    "codex-core": "nothing works",
    "codex-models": "no decoder and no torch trainer; the n-gram of the core can be trained",
    "codex-tokenizers": "no BPE; texts are split into bytes",
    "codex-telemetry": "no TensorBoard, no system metrics and no rendered logs; runs are complete without",
    "codex-safety": "no policy keeps secrets out of training, and there is no `codex safety`",
}
TOOLS = ("pytest", "hatch", "pre-commit", "sphinx", "git")
OLDEST_PYTHON = (3, 11)


def look(
    *, quick: bool, rows: Sequence[Mapping[str, Any]] | None, environ: Mapping[str, str]
) -> list[Finding]:
    """All rows on what is installed; `rows` are those of the registry, None when nobody may look for them."""
    return [
        python(),
        first_codex(environ),
        *packages(),
        *extras(),
        *plugins(rows),
        *tools(quick=quick, environ=environ),
    ]


def python() -> Finding:
    """The interpreter."""
    value = f"{platform.python_version()} ({sys.executable})"
    if sys.version_info >= OLDEST_PYTHON:
        return ok("installation", "python", value)
    return Finding(
        area="installation",
        name="python",
        state="bad",
        value=value,
        cause=f"Codex needs Python {'.'.join(map(str, OLDEST_PYTHON))} or later",
        effect="modules cannot be imported",
        fix="python3.11 -m venv .venv",
    )


def first_codex(environ: Mapping[str, str]) -> Finding:
    """The program that the word `codex` starts."""
    found = shutil.which("codex", path=environ.get("PATH", ""))
    ours = Path(sys.executable).parent
    value, cause, fix = found or "none", None, f'export PATH="{ours}:$PATH", or use: python -m codex_core'
    if found is None:
        cause = "no folder of the PATH holds a `codex`"
    elif b"codex_core" not in _beginning(Path(found)):
        cause = "the first `codex` on the PATH is another vendor's program"
    elif Path(found).parent != ours:
        cause = f"the first `codex` on the PATH belongs to another Python than {sys.executable}"
    if cause is None:
        return ok("installation", "codex", value)
    effect = "examples that begin with `codex` do not reach this installation"
    return Finding(
        area="installation", name="codex", state="warn", value=value, cause=cause, effect=effect, fix=fix
    )


def packages() -> list[Finding]:
    """Our five distributions, and whether they come from one place."""
    found = [_package(name, effect) for name, effect in OURS.items()]
    places = {name: _place(name) for name, row in zip(OURS, found, strict=True) if row.state != "absent"}
    if len(set(places.values())) > 1:
        told = "; ".join(f"{name}: {place}" for name, place in places.items())
        found.append(
            Finding(
                area="installation",
                name="one-place",
                state="warn",
                value=f"{len(set(places.values()))} places",
                cause=told,
                effect="a change in one checkout does not reach packages that come from elsewhere",
                fix="install all five from the same checkout or the same folder of wheels",
            )
        )
    return found


def _package(name: str, effect: str) -> Finding:
    try:
        dist = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return _not_installed(name, effect)
    cause = _does_not_belong(name, dist)
    if cause is None:
        return ok("installation", name, dist.version)
    fix = f"pip uninstall {name}, then install it from where the others come from"
    return Finding(
        area="installation",
        name=name,
        state="bad",
        value=dist.version,
        cause=cause,
        effect="components of packages that do not fit each other fail or are refused",
        fix=fix,
    )


def _not_installed(name: str, effect: str) -> Finding:
    module = name.replace("-", "_")
    if name == "codex-core" or is_present(module, sys.path):
        cause, state = f"{module} can be imported, but no metadata says where it comes from", "warn"
        effect = "its version cannot be compared with what others require"
    else:
        cause, state = "not installed", "absent"
    fix = f"pip install {name}"
    return Finding(
        area="installation", name=name, state=state, value="-", cause=cause, effect=effect, fix=fix
    )


def _does_not_belong(name: str, dist: importlib.metadata.Distribution) -> str | None:
    """Why a distribution of ours does not fit the core that runs; None when it does."""
    if name == "codex-core":
        if dist.version != __version__:
            return (
                f"its metadata says {dist.version} and the code {__version__}: strangers publish a "
                "distribution of this name, or an older one was left behind"
            )
        return None
    wanted = [one.versions for one in _requirements(dist) if one.name == "codex-core"]
    unmet = [versions for versions in wanted if not satisfies(__version__, versions)]
    return f"it requires codex-core{unmet[0]}, and {__version__} runs" if unmet else None


def _place(name: str) -> str:
    """Where a package is imported from: the folder of the checkout, or the folder of installed packages."""
    found = find_module(name.replace("-", "_"), sys.path)
    if found is None or found[0] is None:
        return "nowhere"
    folder = Path(found[0]).parent.parent
    return str(folder.parent.parent if folder.name == "src" else folder)


def extras() -> Iterator[Finding]:
    """One row per extra of an installed distribution of ours, with the libraries that it lacks."""
    for name in OURS:
        try:
            dist = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        needs: dict[str, list[Requirement]] = {}
        for one in _requirements(dist):
            if one.extra is not None:
                needs.setdefault(one.extra, []).append(one)
        for extra, wanted in sorted(needs.items()):
            yield _extra(f"{name}[{extra}]", wanted)


def _extra(name: str, wanted: Sequence[Requirement]) -> Finding:
    versions = {one.name: _version(one.name) for one in wanted}
    missing = [distribution for distribution, version in versions.items() if version is None]
    value = ", ".join(f"{distribution} {version or '-'}" for distribution, version in versions.items())
    if not missing:
        return ok("extras", name, value)
    effect = "what needs it is listed as missing-extra by: codex registry list"
    return Finding(
        area="extras",
        name=name,
        state="absent",
        value=value,
        cause=f"not installed: {', '.join(missing)}",
        effect=effect,
        fix=f"pip install '{name}'",
    )


def plugins(rows: Sequence[Mapping[str, Any]] | None) -> list[Finding]:
    """How many components are usable, and one row for each that is not."""
    if rows is None:
        cause = "the index is out of date, and --quick writes no new one"
        effect = "components that cannot be used are not shown here"
        return [
            Finding(
                area="plugins",
                name="plugins",
                state="unknown",
                value="not asked",
                cause=cause,
                effect=effect,
                fix="codex registry list",
            )
        ]
    usable = sum(row["state"] == "ok" for row in rows)
    return [
        ok("plugins", "plugins", f"{usable} of {len(rows)} components are ok"),
        *(_unusable(row) for row in rows if row["state"] != "ok"),
    ]


def _unusable(row: Mapping[str, Any]) -> Finding:
    state = "absent" if row["state"] == "missing-extra" else "warn"
    return Finding(
        area="plugins",
        name=f"{row['kind']}/{row['id']}",
        state=state,
        value=str(row["state"]),
        cause=row["hint"],
        effect="configurations that name it are refused",
        fix=row["fix"],
    )


def tools(*, quick: bool, environ: Mapping[str, str]) -> Iterator[Finding]:
    """What the repository's own verbs need; none of it is needed to train."""
    for name in TOOLS:
        program = shutil.which(name, path=environ.get("PATH", ""))
        version = _version(name) or (None if quick or program is None else _asked_version(program))
        if version is not None or program is not None:
            yield ok("tools", name, version or f"at {program}")
            continue
        yield Finding(
            area="tools",
            name=name,
            state="absent",
            value="-",
            cause="neither this Python nor the PATH has it",
            effect="revisions of code are not recorded"
            if name == "git"
            else "only work on Codex itself needs it",
            fix="install git with the packages of your system" if name == "git" else f"pip install {name}",
        )


def _asked_version(program: str) -> str | None:
    """What a program says of its version, null when it says nothing within five seconds."""
    try:
        done = subprocess.run(
            [program, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    words = done.stdout.split()
    return next((word for word in words if word[:1].isdigit()), None)


def _requirements(dist: importlib.metadata.Distribution) -> list[Requirement]:
    return [one for one in map(parse_requirement, dist.requires or ()) if one is not None]


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(DISTRIBUTIONS.get(name, name))
    except importlib.metadata.PackageNotFoundError:
        return None


def _beginning(path: Path) -> bytes:
    """The first bytes of a program: a launcher written by pip names the module that it calls."""
    try:
        with open(path, "rb") as file:
            start = file.read(4096)
            file.seek(
                max(0, os.fstat(file.fileno()).st_size - 4096)
            )  # launchers of Windows end with the script
            return start + file.read(4096)
    except OSError:
        return b""

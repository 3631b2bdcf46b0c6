"""Say, before anything large is fetched, which torch will be taken and how large it is.

    .venv/bin/python tools/setup_notice.py

Decisions: the answer is the installer's own (a dry resolution with the pins and sources that Hatch will use), not a
guess; a size that nobody tells is called unknown; the notice never stops a set-up, because the installer will say
by itself what is wrong.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from package_sources import current_uv_variables

ROOT = Path(__file__).resolve().parents[1]
PINS = ROOT / "requirements" / "default.txt"
CUDA = re.compile(r"^(nvidia-|cuda-|triton)")


def resolve(environ: Mapping[str, str]) -> list[dict[str, Any]]:
    """What the installer would take for torch, as packages of a lock; `RuntimeError` with its words if it cannot."""
    uv = shutil.which("uv", path=os.pathsep.join([str(Path(sys.executable).parent), environ.get("PATH", "")]))
    if uv is None:
        raise RuntimeError("uv is not installed beside this Python")
    command = [
        uv,
        "pip",
        "compile",
        "--quiet",
        "--no-header",
        "--format",
        "pylock.toml",
        "--python",
        sys.executable,
    ]
    command += ["--constraints", str(PINS), "-"]
    done = subprocess.run(
        command, input="torch\n", env=dict(environ), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(" ".join(done.stderr.split()))
    return list(tomllib.loads(done.stdout)["packages"])


def size_of(package: Mapping[str, Any]) -> int | None:
    """The bytes of the wheel to be taken: asked of the disk, or of the index; `None` when neither tells."""
    for wheel in package.get("wheels", []):
        parts = urlsplit(wheel.get("url", ""))
        path = Path(wheel["path"] if "path" in wheel else unquote(parts.path))
        if parts.scheme in ("", "file") and path.is_file():
            return path.stat().st_size
        if "size" in wheel:
            return int(wheel["size"])
    return None


def described(packages: list[dict[str, Any]], *, system: str) -> list[str]:
    """The sentences about a resolution."""
    torch = next(package for package in packages if package["name"] == "torch")
    url = torch["wheels"][0].get("url") or torch["wheels"][0].get("path", "")
    local = url.startswith(("file:", "/", "."))
    place = unquote(urlsplit(url).path) if local else "from the package index"
    cuda = [package for package in packages if CUDA.match(package["name"])]
    lines = [f"torch {torch['version']}, {shown(size_of(torch))}, {place}"]
    if cuda:
        sizes = [size_of(package) for package in cuda]
        total = sum(size for size in sizes if size is not None)
        known = (
            shown(total) if None not in sizes else "a size that the index does not tell, several GB in all"
        )
        lines.append(f"with it come {len(cuda)} CUDA packages: {known}")
    elif system == "Linux":
        lines.append("no CUDA packages come with it")
    if cuda or (not local and system == "Linux"):
        lines.append(
            "a smaller download: put a CPU wheel of this version into a folder and set PIP_FIND_LINKS=FOLDER"
        )
    return lines


def shown(size_bytes: int | None) -> str:
    """A size for people."""
    return "size not told by the index" if size_bytes is None else f"{size_bytes / 1e6:.0f} MB"


def main() -> int:
    """Print the notice; always 0."""
    told = current_uv_variables()
    print(f"set-up: Python {platform.python_version()}, environments by Hatch, pins from requirements/")
    if places := told.get("UV_FIND_LINKS"):
        print(f"set-up: find-links: {places.replace(',', ', ')}")
    try:
        lines = described(resolve({**os.environ, **told}), system=platform.system())
    except RuntimeError as error:
        lines = [
            f"which torch will be taken could not be found out: {error}",
            "the default build for Linux brings several GB of CUDA libraries; a folder with a CPU wheel, named by"
            " PIP_FIND_LINKS, is taken instead",
        ]
    for line in lines:
        print(f"set-up: {line}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

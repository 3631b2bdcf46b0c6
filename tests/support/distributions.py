"""Fake distributions on disk: metadata, modules, and whatever is wrong with them.

A `Site` is a folder for the search path; `add` writes a distribution into it as an installer would. `World` looks
at a site with the real registry: a search path of the site, the standard library and the few libraries that a
plugin module imports, so that nothing of the environment of the tests is seen.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import sysconfig
import textwrap
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from codex_core.plugins import frozen, snapshot, survey
from codex_core.plugins.selection import Selection

#: What a plugin module needs at most, besides the standard library; zipp is how importlib-metadata reads eggs.
LIBRARIES = ("attr", "attrs", "codex_core", "pluggy", "zipp")

#: Imported before a world narrows the search path: what the registry itself needs is not to be found there.
PRELOADED = (frozen, survey)

GOOD = """
from codex_core import Component, hookimpl
CODEX_API = (1, 0)

@hookimpl
def codex_tokenizers():
    return [Component({name!r}, target={target!r}, summary="a good one")]
"""


def good(name: str = "control", target: str = "json:JSONEncoder", extra: str = "") -> str:
    """The source of a plugin module that offers one tokenizer; `extra` is appended."""
    return GOOD.format(name=name, target=target) + textwrap.dedent(extra)


class Site:
    """A folder of installed distributions."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)

    def add(
        self,
        dist: str,
        source: str | None = None,
        *,
        module: str | None = None,
        entry_point: str = "plugin",
        version: str | None = "1.0",
        requires: Sequence[str] = (),
        folder: str | None = None,
        metadata: str | None = "",
        entry_points: str | bytes | None = None,
        direct_url: str | None = None,
        record: str | None = None,
    ) -> Path:
        """Install `dist` with one plugin module; returns its metadata folder.

        `source` is the module's text (None: it is not written), `module` its dotted name, `folder` the name of the
        metadata folder, `metadata=None` leaves METADATA out, `entry_points` replaces the whole file.
        """
        name = module or dist.lower().replace("-", "_").replace(".", "_")
        if source is not None:
            self.write_module(name, source)
        stem = dist.replace("-", "_")
        place = self.path / (folder or (f"{stem}-{version}.dist-info" if version else f"{stem}.dist-info"))
        place.mkdir(parents=True)
        if metadata is not None:
            headers = ["Metadata-Version: 2.1", f"Name: {dist}"]
            headers += [f"Version: {version}"] if version else []
            headers += [f"Requires-Dist: {line}" for line in requires]
            file = "PKG-INFO" if place.suffix in (".egg-info", "") else "METADATA"
            (place / file).write_text("\n".join(headers) + f"\n\n{metadata}", encoding="utf-8")
        if entry_points is None:
            entry_points = f"[codex.plugins]\n{entry_point} = {name}\n"
        content = entry_points if isinstance(entry_points, bytes) else entry_points.encode()
        (place / "entry_points.txt").write_bytes(content)
        if direct_url is not None:
            (place / "direct_url.json").write_text(direct_url, encoding="utf-8")
        if record is not None:
            (place / "RECORD").write_text(record, encoding="utf-8")
        return place

    def write_module(self, name: str, source: str) -> Path:
        """Write a module, and `__init__.py` files for the packages around it where there are none."""
        path = self.path.joinpath(*name.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        for parent in path.relative_to(self.path).parents[:-1]:
            init = self.path / parent / "__init__.py"
            if not init.exists():
                init.touch()
        path.write_text(textwrap.dedent(source), encoding="utf-8")
        return path

    def remove(self, dist: str) -> None:
        """Uninstall: the metadata folder and the module named after the distribution."""
        stem = dist.replace("-", "_")
        for place in self.path.glob(f"{stem}-*.dist-info"):
            shutil.rmtree(place)
        (self.path / f"{stem}.py").unlink(missing_ok=True)


class World:
    """Sites, and the registry's answer about them."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self.home = folder / "home"
        self.site = Site(folder / "site")
        self.libraries = folder / "libraries"
        self.libraries.mkdir()
        for name in LIBRARIES:
            found = importlib.util.find_spec(name)
            assert found is not None and found.origin is not None
            os.symlink(os.path.dirname(found.origin), self.libraries / name)
        self.search(self.site.path)

    def search(self, *places: Path | str) -> None:
        """Search these places, in this order, ahead of the libraries."""
        stdlib = [sysconfig.get_path("stdlib"), sysconfig.get_config_var("DESTSHARED")]
        first = str(self.libraries / "start")  # what Python would put first, and the registry leaves out
        self._monkeypatch.setattr(
            sys, "path", [first, *map(str, places), *filter(None, stdlib), str(self.libraries)]
        )
        self._monkeypatch.setattr(
            sys.modules["__main__"], "__file__", str(Path(first) / "codex"), raising=False
        )

    def look(
        self,
        *,
        refresh: bool = False,
        limit_s: float = 20.0,
        environ: Mapping[str, str] | None = None,
        **selection: Any,
    ) -> snapshot.Snapshot:
        """The registry's answer; keyword arguments are those of `Selection`."""
        settings = {"CODEX_PROBE_LIMIT_S": str(limit_s), **(environ or {})}
        return snapshot.take(Selection(**selection), settings, str(self.home), refresh=refresh)

    def row(self, dist: str, **arguments: Any) -> dict[str, Any]:
        """The only row of a distribution."""
        rows = [row for row in self.look(**arguments).rows if row["dist"] == dist]
        assert len(rows) == 1, rows
        return rows[0]

    def age(self) -> None:
        """Make everything look old, so that nothing is compared by content."""
        old = time.time() - 3600
        for path in (self.site.path, *self.site.path.rglob("*")):
            os.utime(path, (old, old))

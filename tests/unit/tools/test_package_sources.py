"""What pip is told about package sources reaches uv, ranked as pip ranks it."""

from __future__ import annotations

import os
from pathlib import Path

import package_sources
import pytest


def _settings(environ: dict[str, str], *texts: str, folder: Path) -> dict[str, list[str]]:
    files = []
    for number, text in enumerate(texts):
        files.append(folder / f"{number}.conf")
        files[-1].write_text(text)
    return package_sources.pip_settings(environ, files)


def test_later_files_sections_and_variables_win(tmp_path: Path) -> None:
    """A later file beats an earlier one, `[install]` beats `[global]`, and a variable beats both."""
    low = "[global]\nfind-links = /low\nindex-url = https://low\n[install]\nindex-url = https://low-install\n"
    high = "[global]\nfind_links =\n    /high\n    /higher\nindex-url = https://high\n"

    settings = _settings({"PIP_NO_INDEX": "1"}, low, high, folder=tmp_path)
    assert settings == {
        "find-links": ["/high", "/higher"],
        "index-url": ["https://low-install"],
        "no-index": ["1"],
    }
    assert _settings({"PIP_FIND_LINKS": "/told"}, low, high, folder=tmp_path)["find-links"] == ["/told"]


def test_find_links_of_both_are_joined() -> None:
    """Places told to uv stay, those told to pip follow, none twice."""
    told = package_sources.uv_variables({"UV_FIND_LINKS": "/mine,/both"}, {"find-links": ["/both", "/pips"]})

    assert told == {"UV_FIND_LINKS": "/mine,/both,/pips"}


@pytest.mark.parametrize("name", package_sources.INDEX_VARIABLES)
def test_indexes_told_to_uv_stay(name: str) -> None:
    """Whoever tells uv about indexes is not overruled by what pip knows."""
    settings = {"index-url": ["https://a"], "extra-index-url": ["https://b"]}

    assert package_sources.uv_variables({name: "x"}, settings) == {}
    assert package_sources.uv_variables({}, settings) == {
        "UV_DEFAULT_INDEX": "https://a",
        "UV_INDEX": "https://b",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
    }


def test_no_index_means_no_index() -> None:
    """A machine without an index stays without one, even if addresses are configured."""
    settings = {"no-index": ["true"], "index-url": ["https://a"], "find-links": ["/house"]}

    assert package_sources.uv_variables({}, settings) == {"UV_FIND_LINKS": "/house", "UV_OFFLINE": "1"}


def test_certificate_reaches_uv() -> None:
    """A certificate told to pip is used, unless the process has one."""
    assert package_sources.uv_variables({}, {"cert": ["/ca.pem"]}) == {"SSL_CERT_FILE": "/ca.pem"}
    assert package_sources.uv_variables({"SSL_CERT_FILE": "/own"}, {"cert": ["/ca.pem"]}) == {}


def test_nothing_told_is_nothing_said() -> None:
    """Without settings uv is left to itself."""
    assert package_sources.uv_variables({}, {}) == {}


def test_files_are_found_where_pip_looks(tmp_path: Path) -> None:
    """The user's file, that of the environment and the named one count, in this order; the null device means none."""
    user = tmp_path / "home" / ".config" / "pip" / "pip.conf"
    site = tmp_path / "prefix" / "pip.conf"
    named = tmp_path / "named.conf"
    for file in (user, site, named):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    environ = {
        "HOME": str(tmp_path / "home"),
        "XDG_CONFIG_DIRS": str(tmp_path),
        "PIP_CONFIG_FILE": str(named),
    }

    found = package_sources.config_files(environ, prefix=str(tmp_path / "prefix"))

    assert [file for file in found if file.is_relative_to(tmp_path)] == [user, site, named]
    assert package_sources.config_files({**environ, "PIP_CONFIG_FILE": os.devnull}) == []

"""Where packages come from: what pip is told, said again in uv's words.

Decisions: uv reads neither pip's variables nor its configuration files, so that a wheelhouse or an index which
pip knows would be passed over in silence; the settings below are translated, no other one is. Files and variables
are ranked as pip ranks them. What the user says to uv itself wins; find-links of both are joined.
"""

from __future__ import annotations

import configparser
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

#: Settings of pip that decide where packages come from.
SETTINGS = ("find-links", "index-url", "extra-index-url", "no-index", "trusted-host", "cert")

#: Variables by which a user tells uv which indexes to use; any of them switches the translation of indexes off.
INDEX_VARIABLES = ("UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_OFFLINE")


def config_files(environ: Mapping[str, str], *, prefix: str = sys.prefix) -> list[Path]:
    """The files that pip reads on this machine, lowest rank first."""
    named = environ.get("PIP_CONFIG_FILE")
    if named == os.devnull:
        return []
    home = Path(environ.get("HOME") or Path.home())
    shared = (environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(os.pathsep)
    places = [
        *(Path(place) / "pip" / "pip.conf" for place in reversed(shared)),
        Path("/etc/pip.conf"),
        home / ".pip" / "pip.conf",
        Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "pip" / "pip.conf",
        Path(prefix) / "pip.conf",
    ]
    if named:
        places.append(Path(named))
    return [place for place in places if place.is_file()]


def pip_settings(environ: Mapping[str, str], files: Iterable[Path]) -> dict[str, list[str]]:
    """The values of `SETTINGS` as pip sees them: variables, then `[install]`, then `[global]`, later files first."""
    sections: dict[str, dict[str, str]] = {"global": {}, "install": {}}
    for file in files:
        parser = configparser.RawConfigParser()
        parser.read(file, encoding="utf-8")
        for section, values in sections.items():
            if parser.has_section(section):
                values.update({key.replace("_", "-"): value for key, value in parser.items(section)})
    ranked = sections["global"] | sections["install"]
    for setting in SETTINGS:
        if told := environ.get("PIP_" + setting.upper().replace("-", "_")):
            ranked[setting] = told
    return {setting: ranked[setting].split() for setting in SETTINGS if ranked.get(setting, "").split()}


def uv_variables(environ: Mapping[str, str], settings: Mapping[str, list[str]]) -> dict[str, str]:
    """The variables that make uv take packages from where pip would."""
    told: dict[str, str] = {}
    own = [place for place in environ.get("UV_FIND_LINKS", "").split(",") if place]
    places = list(dict.fromkeys([*own, *settings.get("find-links", [])]))
    if places:
        told["UV_FIND_LINKS"] = ",".join(places)
    if not any(environ.get(name) for name in INDEX_VARIABLES):
        told |= _index_variables(settings)
    if "trusted-host" in settings and not environ.get("UV_INSECURE_HOST"):
        told["UV_INSECURE_HOST"] = " ".join(settings["trusted-host"])
    if "cert" in settings and not environ.get("SSL_CERT_FILE"):
        told["SSL_CERT_FILE"] = settings["cert"][0]
    return told


def _index_variables(settings: Mapping[str, list[str]]) -> dict[str, str]:
    told: dict[str, str] = {}
    if settings.get("no-index", ["0"])[0].lower() in {"1", "true", "yes", "on"}:
        # uv has no variable of this meaning; this one leaves folders of wheels readable.
        return {"UV_OFFLINE": "1"}
    if "index-url" in settings:
        told["UV_DEFAULT_INDEX"] = settings["index-url"][0]
    if "extra-index-url" in settings:
        told["UV_INDEX"] = " ".join(settings["extra-index-url"])
        told["UV_INDEX_STRATEGY"] = "unsafe-best-match"  # pip compares the versions of all indexes
    return told


def current_uv_variables() -> dict[str, str]:
    """The variables for this process' environment, user and machine."""
    return uv_variables(os.environ, pip_settings(os.environ, config_files(os.environ)))

"""Codex core: the plugin door and everything that needs no torch.

The package imports nothing at import time; public names are loaded on first use, so that a plugin module
that says `from codex_core import Component, hookimpl` costs no more than the two modules behind them.
"""

from __future__ import annotations

#: Spelt here and not imported: `typing` would double the start of the commands that answer at once.
TYPE_CHECKING = False

__version__ = "1.0.0"

#: The plugin API that this core serves, as (major, minor). It moves apart from the package version.
CODEX_API = (1, 0)

_HOMES = {
    "Component": "codex_core.components",
    "KINDS": "codex_core.components",
    "EVENT_HOOKS": "codex_core.components",
    "hookimpl": "codex_core.hookspecs",
    "load_component": "codex_core.plugins.quick",
    "CodexError": "codex_core.errors",
    "ExitCode": "codex_core.errors",
    "Record": "codex_core.records",
    "Turn": "codex_core.records",
    "Encoded": "codex_core.records",
    "Duration": "codex_core.duration",
    "option": "codex_core.options",
}

__all__ = [
    "CODEX_API",
    "EVENT_HOOKS",
    "KINDS",
    "CodexError",
    "Component",
    "Duration",
    "Encoded",
    "ExitCode",
    "Record",
    "Turn",
    "__version__",
    "hookimpl",
    "load_component",
    "option",
]

if TYPE_CHECKING:
    from typing import Any

    from codex_core.components import EVENT_HOOKS, KINDS, Component
    from codex_core.duration import Duration
    from codex_core.errors import CodexError, ExitCode
    from codex_core.hookspecs import hookimpl
    from codex_core.options import option
    from codex_core.plugins.quick import load_component
    from codex_core.records import Encoded, Record, Turn


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'codex_core' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

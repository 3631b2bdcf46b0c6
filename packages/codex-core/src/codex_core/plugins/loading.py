"""Import a component's target and say precisely what went wrong when that fails.

Decisions: plugin code may raise anything; only an interrupt that the user sent passes through. A failure names the
phase (`find`, `import`, `attr`, `type`), the distribution and the place, and is not remembered: the next try
imports again.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
import traceback
from difflib import get_close_matches
from typing import Any

from codex_core.errors import CodexError, ExitCode, MissingDependency
from codex_core.plugins.containment import Contained, contained
from codex_core.plugins.listing import escaped
from codex_core.plugins.quick import lacking

_loading = threading.local()


class PluginError(CodexError):
    """A component was found but cannot be loaded; `phase` says where it failed."""

    exit_code = ExitCode.MISSING

    def __init__(self, *, phase: str, **parts: Any) -> None:
        super().__init__(**parts)
        self.phase = phase


def load_target(reference: str, *, dist: str, what: str, kind: str | None = None) -> Any:
    """The object at `package.module:attribute`; raises `PluginError` or `MissingDependency`.

    `what` names the component in messages; with a `kind` the object must offer what targets of that kind offer.
    """
    active: set[str] = _loading.__dict__.setdefault("active", set())
    if reference in active:
        raise _error("cycle", "REG-014", dist, f"{what} is needed while {reference} is being loaded", None)
    active.add(reference)
    try:
        module_name, _, path = reference.partition(":")
        value = _import(module_name, dist=dist, what=what)
        for part in path.split("."):
            value = _attribute(value, part, reference, dist=dist, what=what)
    finally:
        active.discard(reference)
    if kind is not None and (missing := lacking(kind, value)):
        said = f"{reference} is {type(value).__name__} without {', '.join(missing)}"
        raise _error("type", "REG-013", dist, f"{what} does not keep the contract of {kind}", said)
    return value


def _import(name: str, *, dist: str, what: str) -> Any:
    try:
        with contained():
            return importlib.import_module(name)
    except Contained as held:
        error = held.error
    place = place_of(error, name.partition(".")[0])
    said = f"{describe(error)}{f' at {place}' if place else ''}"
    if isinstance(error, ModuleNotFoundError) and error.name:
        if f"{name}.".startswith(f"{error.name}."):
            raise _error(
                "find", "REG-010", dist, f"{what}: the module {name} does not exist", said
            ) from error
        raise MissingDependency(
            code="REG-005",
            what=f"{what} needs {error.name}, which is not installed",
            where=place,
            why=f"required by {dist}",
            fix=f"codex registry list; pip install {error.name.partition('.')[0]}",
        ) from error
    raise _error("import", "REG-011", dist, f"{what}: importing {name} fails", said) from error


def _attribute(value: Any, part: str, reference: str, *, dist: str, what: str) -> Any:
    try:
        with contained():
            return getattr(value, part)
    except Contained as held:
        names = (
            [name for name in vars(value) if not name.startswith("_")] if hasattr(value, "__dict__") else []
        )
        near = get_close_matches(part, names, n=3)
        said = f"did you mean {' or '.join(near)}?" if near else describe(held.error)
        raise _error("attr", "REG-012", dist, f"{what}: {reference} does not exist", said) from held.error


def _error(phase: str, code: str, dist: str, what: str, why: str | None) -> PluginError:
    return PluginError(
        phase=phase,
        code=code,
        what=what,
        where=f"distribution {dist}",
        why=why,
        fix=f"pip install --upgrade {dist}, or switch it off: CODEX_PLUGINS_OFF={dist}",
    )


def describe(error: BaseException) -> str:
    """An exception of plugin code in one line, whatever its own methods do."""
    try:
        return escaped(f"{type(error).__name__}: {error}"[:500])
    except BaseException:  # noqa: BLE001 - its __str__ raises
        return "an exception whose text cannot be shown"


def place_of(error: BaseException, package: str) -> str | None:
    """File and line within `package` where the error came from, else the last place outside Python itself."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    library = os.path.dirname(os.__file__) + os.sep
    place = None
    for frame, line in traceback.walk_tb(error.__traceback__):
        path = frame.f_code.co_filename
        if path in (__file__, sys.executable) or path.startswith(("<frozen", library + "importlib")):
            continue
        ours = str(frame.f_globals.get("__name__", "")).partition(".")[0] == package
        if ours or place is None:
            place = f"{path}:{line}"
    return place

"""Which plugins the user wants: switched off, allowed, pinned. Decided before anything is imported.

Decisions: an entry is a distribution (any spelling), an entry point, `dist/entry-point` or a canonical component
id; an empty allow list means built-ins only and never excludes a built-in; switching off wins over allowing; an
entry in both lists, and an entry that matches nothing, is an error.

This module is on the path of commands that answer at once: it imports nothing but `os`.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: The distributions whose components are built in.
BUILT_IN = ("codex-core", "codex-models", "codex-safety", "codex-telemetry", "codex-tokenizers")


class Selection:
    """The user's choice of plugins; `only` is None when there is no allow list.

    `pins` maps `kind/name` to the distribution that shall answer to the bare name.
    """

    __slots__ = ("off", "only", "pins")

    off: tuple[str, ...]
    only: tuple[str, ...] | None
    pins: dict[str, str]

    def __init__(
        self,
        *,
        only: Iterable[str] | None = None,
        off: Iterable[str] = (),
        pins: Mapping[str, str] | None = None,
    ) -> None:
        self.only = None if only is None else tuple(sorted(set(only)))
        self.off = tuple(sorted(set(off)))
        self.pins = dict(sorted((pins or {}).items()))

    @classmethod
    def from_environment(
        cls,
        environ: Mapping[str, str] = os.environ,
        *,
        flags: Iterable[str] = (),
        only: Iterable[str] | None = None,
        off: Iterable[str] = (),
        pins: Mapping[str, str] | None = None,
    ) -> Selection:
        """The selection of `CODEX_PLUGINS` and `CODEX_PLUGINS_OFF`, joined with that of flags and configuration.

        `flags` are the values of `-p` (`no:NAME`), `only`, `off` and `pins` what the configuration says. Two allow
        lists leave what both allow; switched-off names add up.
        """
        allowed = _names(environ["CODEX_PLUGINS"]) if "CODEX_PLUGINS" in environ else None
        if only is not None:
            allowed = list(only) if allowed is None else [name for name in allowed if name in set(only)]
        left_out = [flag.removeprefix("no:") for flag in flags]
        return cls(
            only=allowed, off=[*_names(environ.get("CODEX_PLUGINS_OFF", "")), *left_out, *off], pins=pins
        )

    @property
    def key(self) -> str:
        """One line that is equal for equal selections."""
        return ascii((self.only, self.off, tuple(self.pins.items())))

    def reason(self, dist: str, entry_point: str) -> str | None:
        """Why a plugin must not be imported, as a reason code; None when it may be."""
        if any(_matches(entry, dist, entry_point) for entry in self.off):
            return "switched-off"
        if self.only is None or normalised(dist) in BUILT_IN:
            return None
        prefix = f"{normalised(dist)}/"
        allowed = any(
            _matches(entry, dist, entry_point) or _spelt(entry).startswith(prefix) for entry in self.only
        )
        return None if allowed else "not-on-allowlist"

    def component_reason(self, dist: str, entry_point: str, name: str) -> str | None:
        """Why one component of a plugin that was imported must not be used; None when it may be."""
        id = f"{normalised(dist)}/{name}"
        if any(_spelt(entry) == id for entry in self.off):
            return "switched-off"
        if self.only is None or normalised(dist) in BUILT_IN:
            return None
        whole = any(_matches(entry, dist, entry_point) for entry in self.only)
        return None if whole or any(_spelt(entry) == id for entry in self.only) else "not-on-allowlist"

    def check(self, plugins: Iterable[tuple[str, str]], component_ids: Iterable[str]) -> None:
        """Raise `UsageError` for entries that match nothing, or stand in both lists."""
        known = {
            name
            for dist, entry in plugins
            for name in (normalised(dist), entry, f"{normalised(dist)}/{entry}")
        }
        known |= set(component_ids)
        both = set(self.only or ()) & set(self.off)
        missed = [entry for entry in (*(self.only or ()), *self.off) if not {entry, _spelt(entry)} & known]
        if both or missed:
            _refuse(sorted(both), missed, sorted(known))


def normalised(dist: str) -> str:
    """A distribution name in its PEP 503 spelling, without regular expressions."""
    spelt = dist.lower().replace("_", "-").replace(".", "-")
    while "--" in spelt:
        spelt = spelt.replace("--", "-")
    return spelt


def _spelt(entry: str) -> str:
    dist, slash, rest = entry.partition("/")
    return f"{normalised(dist)}{slash}{rest}"


def _matches(entry: str, dist: str, entry_point: str) -> bool:
    name = normalised(dist)
    return entry == entry_point or _spelt(entry) in (name, f"{name}/{entry_point}")


def _names(text: str) -> list[str]:
    return text.replace(",", " ").split()


def _refuse(both: list[str], missed: list[str], known: list[str]) -> None:
    from difflib import get_close_matches

    from codex_core.errors import UsageError

    if both:
        raise UsageError(
            code="REG-002",
            what=f"plugin {both[0]!r} is both allowed and switched off",
            where="CODEX_PLUGINS, CODEX_PLUGINS_OFF, -p, plugins.only, plugins.off",
            fix="name it in one of the two lists",
        )
    near = get_close_matches(missed[0], known, n=3)
    raise UsageError(
        code="REG-001",
        what=f"no installed plugin is called {missed[0]!r}",
        where="CODEX_PLUGINS, CODEX_PLUGINS_OFF, -p, plugins.only, plugins.off",
        why=f"did you mean {' or '.join(map(repr, near))}?" if near else f"installed: {', '.join(known)}",
        fix="codex registry list",
    )

"""Small settings files of plugins' commands: YAML with the place of every value, dotted overrides, one options class.

Decision: the same reader, limits, overrides and words for mistakes as the configuration of a run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import attrs

from codex_core.errors import ConfigError
from codex_core.planning.configio import Node, origins, plain, read
from codex_core.planning.overrides import apply, parse_override
from codex_core.planning.structuring import Mistake, plain_values, structure, together

T = TypeVar("T")

__all__ = ["Settings", "load_settings", "plain_values"]


@attrs.frozen(kw_only=True)
class Settings:
    """What a settings file says after its overrides, as plain values, and where each value stands."""

    values: Mapping[str, Any]
    origins: Mapping[str, str]
    source: str

    def build(self, cls: type[T], values: Mapping[str, Any] | None = None, *, path: str = "") -> T:
        """An options object of the values, or of those that stand at `path`; raises with all mistakes and places."""
        built, mistakes = structure(cls, dict(self.values if values is None else values), path)
        if built is None:
            raise together([self._placed(mistake) for mistake in mistakes])
        return built

    def _placed(self, mistake: Mistake) -> ConfigError:
        place = mistake.path
        while place and place not in self.origins:
            place = place.rpartition(".")[0]
        return mistake.error(self.origins.get(place, self.source))


def load_settings(path: Path, overrides: Sequence[str] = ()) -> Settings:
    """The settings in a file, changed by overrides; raises `ConfigError` with every override that cannot be made."""
    node = read(path)
    if not isinstance(node.value, dict):
        raise Mistake("", "CFG-005", "expected a mapping", fix="write `name: value` lines").error(str(path))
    changed, mistakes = apply(node, [parse_override(text) for text in overrides], lists={})
    if mistakes:
        raise together(mistakes)
    return _settings(changed, str(path))


def _settings(node: Node, source: str) -> Settings:
    return Settings(values=plain(node), origins=origins(node), source=source)

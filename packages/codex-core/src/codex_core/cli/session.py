"""What every command shares: global flags, the project's places, the registry, opened once and late."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from codex_core.errors import UsageError
from codex_core.places import Places, find_places

if TYPE_CHECKING:
    from codex_core.config import RunConfig
    from codex_core.registry import Registry


@attrs.frozen(kw_only=True)
class Flags:
    """Global flags: how much to say, whether to show tracebacks, which plugins to leave out (`-p no:NAME`)."""

    verbosity: int = 0
    debug: bool = False
    plugins: tuple[str, ...] = ()


def split_flags(arguments: Sequence[str]) -> tuple[Flags, list[str]]:
    """Take global flags out of the arguments, wherever they stand before `--`; the rest keeps its order."""
    verbosity, debug, plugins, rest = 0, False, [], []
    remaining = iter(arguments)
    for argument in remaining:
        if argument in ("-q", "--quiet"):
            verbosity -= 1
        elif argument in ("-v", "--verbose"):
            verbosity += 1
        elif argument == "--debug":
            debug = True
        elif argument == "-p":
            plugins.append(next(remaining, ""))
        elif argument == "--":
            rest += [argument, *remaining]
        else:
            rest.append(argument)
    return Flags(verbosity=verbosity, debug=debug, plugins=tuple(plugins)), rest


@attrs.define(slots=False)
class Session:
    """One call of the command line."""

    flags: Flags = attrs.field(factory=Flags)

    @cached_property
    def places(self) -> Places:
        """The folders of the project that the working directory belongs to."""
        return find_places(Path.cwd())

    @cached_property
    def registry(self) -> Registry:
        """Everything installed, from the index when it is valid."""
        from codex_core.plugins.selection import Selection
        from codex_core.registry import Registry

        return Registry.open(
            places=self.places, selection=Selection.from_environment(flags=self.flags.plugins)
        )

    def configuration(
        self,
        path: Path | None,
        overrides: Sequence[str] = (),
        *,
        preset: str | None = None,
        seed: int | None = None,
    ) -> RunConfig:
        """A checked configuration with names resolved; from here on the registry follows its `plugins` section."""
        from codex_core import config
        from codex_core.cli.output import say
        from codex_core.plugins.selection import Selection
        from codex_core.registry import Registry

        plugins = config.plugins_of(path, overrides, preset=preset)
        if plugins.only is not None or plugins.off or plugins.pins:
            selection = Selection.from_environment(
                flags=self.flags.plugins, only=plugins.only, off=plugins.off, pins=plugins.pins
            )
            self.registry = Registry.open(places=self.places, selection=selection)
        loaded = config.load(path, overrides, registry=self.registry, preset=preset, seed=seed)
        for notice in loaded.notices:
            say(f"warning: {notice}")
        return loaded

    def plugin_commands(self) -> dict[str, str]:
        """Usable command groups of plugins: name -> summary."""
        rows = [row for row in self.registry.rows if row.kind == "commands" and row.state == "ok"]
        return {row.name: row.summary for row in sorted(rows, key=lambda row: row.name)}

    def plugin_command(self, name: str, *, near: tuple[str, ...]) -> Any:
        """A plugin's command; an unknown name is answered with near names, a known absent one with its install line."""
        import difflib

        if name in self.plugin_commands() or self.registry.known("commands", name) is not None:
            return self.registry.load(self.registry.find("commands", name))
        close = difflib.get_close_matches(name, {*near, *self.plugin_commands()}, n=3, cutoff=0.5)
        raise UsageError(
            code="CLI-002",
            what=f"no such command {name!r}",
            why=f"did you mean {' or '.join(close)}?" if close else None,
            fix="codex --help",
        )

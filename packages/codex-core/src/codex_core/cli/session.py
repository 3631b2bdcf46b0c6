"""What every command shares: global flags, the project's places, the registry, opened once and late.

Decision: neither attrs nor the registry is imported before a command asks for them; help does without both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from codex_core.cli.commands import PROGRESS
from codex_core.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from codex_core.cli.progress import Display
    from codex_core.config import RunConfig
    from codex_core.places import Places
    from codex_core.plugins.selection import Selection
    from codex_core.registry import Registry


class Flags(NamedTuple):
    """Global flags: how much to say, tracebacks or not, plugins to leave out (`-p no:NAME`), how to show progress."""

    verbosity: int = 0
    debug: bool = False
    plugins: tuple[str, ...] = ()
    progress: str = "auto"


def split_flags(arguments: Sequence[str]) -> tuple[Flags, list[str]]:
    """Take global flags out of the arguments, wherever they stand before `--`; the rest keeps its order.

    A wrong value of `--progress` or `-p` is put first, where the root of the command tree refuses it.
    """
    verbosity, debug, plugins, progress, rest = 0, False, [], "auto", []
    refused: list[str] = []
    remaining = iter(arguments)
    for argument in remaining:
        if argument in ("-q", "--quiet"):
            verbosity -= 1
        elif argument in ("-v", "--verbose"):
            verbosity += 1
        elif argument == "--debug":
            debug = True
        elif argument == "-p" or argument.startswith("-pno:"):
            value = argument[2:] or next(remaining, "")
            if value.startswith("no:"):
                plugins.append(value)
            else:
                refused += ["-p", value]
        elif argument == "--progress" or argument.startswith("--progress="):
            _, assigned, value = argument.partition("=")
            progress = value if assigned else next(remaining, "")
        elif argument == "--":
            rest += [argument, *remaining]
        else:
            rest.append(argument)
    if progress not in PROGRESS:
        refused.append(f"--progress={progress}")
    flags = Flags(verbosity=verbosity, debug=debug, plugins=tuple(plugins), progress=progress)
    return flags, [*refused, *rest]


class Session:
    """One call of the command line."""

    def __init__(self, flags: Flags | None = None) -> None:
        self.flags = flags or Flags()

    @cached_property
    def places(self) -> Places:
        """The folders of the project that the working directory belongs to."""
        from pathlib import Path

        from codex_core.places import find_places

        return find_places(Path.cwd())

    @cached_property
    def registry(self) -> Registry:
        """Everything installed, from the index when it is valid."""
        from codex_core.registry import Registry

        return Registry.open(places=self.places, selection=self.selection())

    def selection(
        self,
        *,
        only: Sequence[str] | None = None,
        off: Sequence[str] = (),
        pins: Mapping[str, str] | None = None,
    ) -> Selection:
        """Which plugins the user wants, as environment, flags and (if given) a configuration say."""
        from codex_core.plugins.selection import Selection

        return Selection.from_environment(flags=self.flags.plugins, only=only, off=off, pins=pins)

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

        plugins = config.plugins_of(path, overrides, preset=preset)
        self.follow(only=plugins.only, off=plugins.off, pins=plugins.pins)
        loaded = config.load(path, overrides, registry=self.registry, preset=preset, seed=seed)
        for notice in loaded.notices:
            say(f"warning: {notice}")
        return loaded

    def follow(
        self,
        *,
        only: Sequence[str] | None = None,
        off: Sequence[str] = (),
        pins: Mapping[str, str] | None = None,
    ) -> None:
        """From here on the registry follows a `plugins` section, that of a configuration or of a run's lock."""
        from codex_core.registry import Registry

        if only is not None or off or pins:
            selection = self.selection(only=only, off=off, pins=pins)
            self.registry = Registry.open(places=self.places, selection=selection)

    def display(self) -> Display:
        """What shows progress as the global flags ask for; commands of plugins use it as a context manager."""
        from codex_core.cli.progress import Display

        return Display.of(self.flags)

    def plugin_commands(self) -> dict[str, str]:
        """Usable command groups of plugins: name -> summary."""
        from codex_core.plugins import quick

        rows = [row for row in quick.rows(self.selection(), "commands") if row["state"] == "ok"]
        return {row["name"]: row["summary"] for row in sorted(rows, key=lambda row: str(row["name"]))}

    def plugin_command(self, name: str, *, near: tuple[str, ...]) -> Any:
        """A plugin's command; an unknown name is answered with near names, a known absent one with its install line."""
        import difflib

        from codex_core.plugins import known, quick

        offered = self.plugin_commands()
        if name in offered or known.find("commands", name) is not None:
            return quick.load_component("commands", name, selection=self.selection())
        close = difflib.get_close_matches(name, {*near, *offered}, n=3, cutoff=0.5)
        raise UsageError(
            code="CLI-002",
            what=f"no such command {name!r}",
            why=f"did you mean {' or '.join(close)}?" if close else None,
            fix="codex --help",
        )

"""The tree of commands as data: what completion, the reference page and the tests of every command walk.

Decision: walking imports every command's module, which listing and help never do.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import attrs
import click

_FLAGS = {"-h", "--help"}


@attrs.frozen(kw_only=True)
class Node:
    """One command or group: its words after `codex`, and the command itself."""

    words: tuple[str, ...]
    command: click.Command

    @property
    def name(self) -> str:
        """The command as it is typed."""
        return " ".join(("codex", *self.words))

    @property
    def children(self) -> tuple[str, ...]:
        """The names of subcommands; none for a command that works."""
        return tuple(self.command.commands) if isinstance(self.command, click.Group) else ()

    @property
    def options(self) -> tuple[click.Option, ...]:
        """Its own options."""
        return tuple(one for one in self.command.params if isinstance(one, click.Option) and not one.hidden)

    @property
    def arguments(self) -> tuple[click.Argument, ...]:
        """Its positional arguments."""
        return tuple(one for one in self.command.params if isinstance(one, click.Argument))

    @property
    def has_json(self) -> bool:
        """Whether it can print one JSON object."""
        return any("--json" in option.opts for option in self.options)

    def paragraphs(self) -> list[str]:
        """Its help text, one entry per paragraph; the mark that click needs before examples is gone."""
        text = inspect.cleandoc(self.command.help or "").replace("\b\n", "")
        return [part for part in re.split(r"\n\s*\n", text) if part.strip()]

    def examples(self) -> list[str]:
        """The command lines of the `Examples:` block, without the remarks that follow two spaces."""
        for part in self.paragraphs():
            lines = part.splitlines()
            if lines[0].strip() == "Examples:":
                return [re.split(r"\s{2,}", line.strip())[0] for line in lines[1:]]
        return []


def walk(names: dict[str, click.Command]) -> Iterator[Node]:
    """Every command below the root in the order of help, groups before their commands."""
    for name, command in names.items():
        yield from _below((name,), command)


def _below(words: tuple[str, ...], command: click.Command) -> Iterator[Node]:
    yield Node(words=words, command=command)
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from _below((*words, name), child)


def commands_of(root: click.Group, context: click.Context) -> dict[str, click.Command]:
    """The commands directly below the root, imported."""
    found = {name: root.get_command(context, name) for name in root.list_commands(context)}
    return {name: command for name, command in found.items() if command is not None}

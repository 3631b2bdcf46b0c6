"""The commands of the core, offered through the same door as everybody else's."""

from __future__ import annotations

from codex_core import Component, hookimpl
from codex_core.cli.commands import COMMANDS

CODEX_API = (1, 0)


@hookimpl
def codex_commands() -> list[Component]:
    """Every command that core ships, from the table that the command line itself reads."""
    return [Component(name, target=target, summary=summary) for name, (target, summary) in COMMANDS.items()]

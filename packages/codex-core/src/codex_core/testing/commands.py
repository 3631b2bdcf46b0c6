"""What every command group must do."""

from __future__ import annotations

from collections.abc import Iterator

import click
from click.testing import CliRunner

from codex_core.testing.claims import claim

#: An option that nobody has.
_UNKNOWN = "--codex-conformance-unknown"


def check_command(command: object, *, name: str) -> None:
    """Ask a command and all its subcommands for help, and give each an option that it cannot know."""
    claim(isinstance(command, click.Command), "the target is no click command")
    assert isinstance(command, click.Command)
    for path, one in _tree(command, (name,)):
        shown = " ".join(path)
        claim(bool((one.help or "").strip()), f"`codex {shown}` does not say what it does")
        helped = CliRunner().invoke(command, [*path[1:], "--help"], prog_name=f"codex {name}")
        claim(
            helped.exit_code == 0,
            f"`codex {shown} --help` ends with {_end(helped.exit_code, helped.exception)}",
        )
        refused = CliRunner().invoke(command, [*path[1:], _UNKNOWN], prog_name=f"codex {name}")
        claim(
            refused.exit_code == 2,
            f"`codex {shown}` answers an unknown option with {_end(refused.exit_code, refused.exception)}, not with 2",
        )


def _tree(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=path[-1])
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            claim(below is not None, f"`codex {' '.join((*path, name))}` is listed and does not exist")
            assert below is not None
            yield from _tree(below, (*path, name))


def _end(code: int, error: BaseException | None) -> str:
    if error is None or isinstance(error, SystemExit):
        return f"exit code {code}"
    return f"{type(error).__name__}: {error}"

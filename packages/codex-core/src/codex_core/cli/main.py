"""From arguments to an exit code: global flags, lazy commands, errors a user can act on.

Decisions: `-q`, `-v`, `--debug`, `--progress` and `-p no:NAME` may stand before or after the command; a command's
module is imported when it is called, and what only a failure needs when it fails; a crash writes a file and one
line, a traceback is shown with `--debug` only.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

import click

from codex_core import __version__
from codex_core.cli.commands import COMMANDS, PROGRESS
from codex_core.cli.session import Flags, Session, split_flags
from codex_core.errors import CodexError, ExitCode, InputError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

HELP = """Train, evaluate and reproduce language models from plugins, offline.

\b
Examples:
  codex demo                          a small model on this machine's own text
  codex registry list                 everything that is installed, and what is not usable
  codex registry compose -o run.yaml  write a configuration from what is installed
  codex plan run.yaml                 what a training would do
  codex train run.yaml trainer.lr=1e-4
  codex train run.yaml --resume       continue the newest unfinished run of this configuration
"""

#: Columns that help takes at most.
WIDEST = 100


class CommandTree(click.Group):
    """Core's commands from a table, siblings' and third parties' commands from the registry."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Core's commands in their order, then those of plugins by name."""
        session: Session = ctx.ensure_object(Session)
        return [*COMMANDS, *(name for name in session.plugin_commands() if name not in COMMANDS)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; an unknown name raises with near names, a known absent one with its install line."""
        if cmd_name in COMMANDS:
            module, _, attribute = COMMANDS[cmd_name][0].partition(":")
            command = getattr(import_module(module), attribute)
            assert isinstance(command, click.Command)
            return command
        session: Session = ctx.ensure_object(Session)
        loaded = session.plugin_command(cmd_name, near=tuple(COMMANDS))
        assert isinstance(loaded, click.Command)
        return loaded

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List commands with their summaries without importing any."""
        session: Session = ctx.ensure_object(Session)
        shown = [(name, summary) for name, (_, summary) in COMMANDS.items()]
        said = ""
        try:
            plugins = session.plugin_commands()
        except CodexError as error:  # a misspelt selection: help is where its user will look
            plugins, said = {}, f"Commands of plugins cannot be told: {error.what}."
        shown += [(name, summary) for name, summary in plugins.items() if name not in COMMANDS]
        with formatter.section("Commands"):
            formatter.write_dl(shown)
        if said:
            formatter.write_paragraph()
            formatter.write_text(said)


def _refused_plugin(ctx: click.Context, parameter: click.Parameter, value: str | None) -> None:
    """What still stands here is none: values of the right shape were taken out before."""
    if value is not None:
        raise click.BadParameter(f"{value!r} is not of the form no:NAME", ctx=ctx, param=parameter)


@click.group(
    cls=CommandTree,
    help=HELP,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, "-V", "--version", prog_name="codex")
@click.option("-q", "--quiet", is_flag=True, expose_value=False, help="Say nothing but results and errors.")
@click.option("-v", "--verbose", is_flag=True, expose_value=False, help="Say more.")
@click.option("--debug", is_flag=True, expose_value=False, help="Show tracebacks.")
@click.option(
    "--progress",
    type=click.Choice(PROGRESS),
    default="auto",
    show_default=True,
    expose_value=False,
    help="How progress is shown on stderr.",
)
@click.option(
    "-p",
    "plugin",
    expose_value=False,
    metavar="no:NAME",
    callback=_refused_plugin,
    help="Leave a plugin out, for this call.",
)
def codex() -> None:
    """The root of the command tree."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; nothing but this function prints errors."""
    # Waiting threads of numeric libraries spin shortly, then sleep. Training on 2 cores, in 1,000 tokens/s: spinning
    # as libgomp does by default 15.4 alone, sleeping at once 12.2, this 15.5; beside six busy processes this is 1.9.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    arguments = list(sys.argv[1:] if argv is None else argv)
    flags, rest = split_flags(arguments)
    as_json = "--json" in rest
    try:
        # Not `codex.main`: click would end the process by itself when the reader closes the pipe.
        with codex.make_context(
            "codex", rest, obj=Session(flags=flags), terminal_width=_help_columns()
        ) as context:
            outcome = codex.invoke(context)
        sys.stdout.flush()
        return int(outcome) if isinstance(outcome, int) else ExitCode.OK
    except CodexError as error:
        return _fail(error, flags=flags, as_json=as_json)
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message(), file=sys.stderr)
        return ExitCode.USAGE
    except click.ClickException as error:
        return _fail(_from_click(error), flags=flags, as_json=as_json)
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except (click.Abort, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # The reader went away: later flushes at interpreter exit must not complain either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return ExitCode.PIPE
    except Exception as error:  # noqa: BLE001 - a bug: everything expected is one of the above
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return _no_room(error, flags=flags)
        return _crash(error, flags=flags, argv=arguments)


def _no_room(error: OSError, *, flags: Flags) -> int:
    """A full disk under what we print, or under a file that nobody closer expected to fill it."""
    where = error.filename or "standard output"
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is still buffered must not fail again at exit
    full = InputError(
        code="CLI-008",
        what="the output cannot be written",
        where=str(where),
        why=error.strerror or str(error),
        fix="free some disk space, or write elsewhere",
    )
    return _fail(full, flags=flags, as_json=False)


def _help_columns() -> int:
    """Columns for help. Asked here, because the standard library's way to ask imports its archive formats."""
    try:
        columns = int(os.environ.get("COLUMNS") or os.get_terminal_size(1).columns)
    except (OSError, ValueError):
        columns = 80
    return max(min(columns, WIDEST) - 2, 50)


def _fail(error: CodexError, *, flags: Flags, as_json: bool) -> int:
    if as_json:
        from codex_core.cli.output import print_json

        print_json("codex-error/1", {"error": error.as_dict()})
    print(error, file=sys.stderr)
    if flags.debug:
        _print_traceback(error)
    return int(error.exit_code)


def _print_traceback(error: Exception) -> None:
    import traceback

    traceback.print_exception(error, file=sys.stderr)


def _from_click(error: click.ClickException) -> UsageError:
    """A mistake that click found, in our words: what, near names, where to read on."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "codex"
    near = _near(error, context)
    return UsageError(
        code="CLI-001",
        what=_what(error),
        why=f"did you mean {' or '.join(sorted(near))}?" if near else None,
        fix=f"{path} --help",
    )


def _near(error: click.ClickException, context: click.Context | None) -> Sequence[str]:
    """Names near to a misspelt option, subcommand or choice: those that click found, else our own."""
    import difflib

    given = getattr(error, "possibilities", None) or ()
    typed, known = "", []
    if given:
        return list(given)
    if (typed := getattr(error, "option_name", None) or "") and context is not None:
        known = [name for parameter in context.command.params for name in parameter.opts]
    elif isinstance(choice := getattr(getattr(error, "param", None), "type", None), click.Choice):
        typed, known = error.message.partition("'")[2].partition("'")[0], [str(one) for one in choice.choices]
    return difflib.get_close_matches(typed, known, n=3, cutoff=0.5)


def _what(error: click.ClickException) -> str:
    """What click found; near names of a misspelt option are told apart from it."""
    shown = error.message if getattr(error, "possibilities", None) else error.format_message()
    return shown.rstrip(".")


def _crash(error: Exception, *, flags: Flags, argv: list[str]) -> int:
    if flags.debug:
        _print_traceback(error)
        return ExitCode.BUG
    path = _write_crash_file(error, argv)
    shown = CodexError(
        code="BUG-001",
        what=f"Codex failed with {type(error).__name__}: {error}",
        why="this is a bug, not a mistake of yours",
        fix=f"send {path} with your report, or repeat with --debug",
    )
    return _fail(shown, flags=flags, as_json="--json" in argv)


def _write_crash_file(error: Exception, argv: list[str]) -> Path:
    """Write the traceback where it can be found: the project's state, or the temporary folder when that fails."""
    import tempfile
    import traceback
    from pathlib import Path

    from codex_core.places import find_places
    from codex_core.scrub import Scrubber

    scrub = Scrubber.of(os.environ)
    text = scrub.text(
        "".join([f"codex {__version__} {scrub.command(argv)}\n", *traceback.format_exception(error)])
    )
    for folder in (find_places(Path.cwd()).state, Path(tempfile.gettempdir())):
        path = folder / f"crash-{os.getpid()}.txt"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        except OSError:
            continue
        return path
    return Path("(no writable folder for a crash file)")

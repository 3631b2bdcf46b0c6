"""`codex registry index`: renew the stored listing, the user's own or the one that an image brings along."""

from __future__ import annotations

import os

import click

from codex_core.cli.output import say
from codex_core.cli.session import Session
from codex_core.plugins import index, snapshot, system_index
from codex_core.plugins.selection import Selection


@click.command("index")
@click.option("--system", is_flag=True, help="Write it into this installation, for everybody who uses it.")
@click.pass_obj
def index_command(session: Session, system: bool) -> None:
    """Look at every plugin anew and store the answer.

    \b
    Examples:
      codex registry index

    With --system the answer goes into PREFIX/share/codex/index, for images: whoever runs one starts warm.
    """
    selection = Selection.from_environment(flags=session.flags.plugins)
    if system:
        path, count = system_index.write(selection, os.environ)
    else:
        home = str(session.places.home)
        count = len(snapshot.take(selection, os.environ, home, refresh=True).rows)
        path = index.folders(os.environ, home)[0]
    say(f"wrote {path}: {count} rows")

"""`codex registry freeze`, `diff` and `check`: the set of plugins written down, compared, and verified.

Decisions: a frozen set is a freeze file, the lock of a run, or what is installed now; `diff` exits 1 for any
difference, `check --frozen` only when something that was frozen is lost or changed; what is new does not harm.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

import click

from codex_core import runs
from codex_core.cli.output import print_json, say
from codex_core.cli.session import Session
from codex_core.errors import ExitCode, InputError, MissingDependency, UsageError
from codex_core.files import write_atomic
from codex_core.plugins import frozen, index
from codex_core.plugins.frozen import Change, Plugin
from codex_core.plugins.listing import escaped
from codex_core.plugins.locate import is_present
from codex_core.plugins.selection import normalised

#: What pytest returns when it found nothing to run.
_NO_TESTS = 5


@click.command()
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write to this file.")
@click.pass_obj
def freeze(session: Session, output: Path | None) -> None:
    """Write down the usable plugins and their components, as every lock holds them.

    \b
    Examples:
      codex registry freeze
      codex registry freeze -o plugins.json
    """
    text = frozen.document(session.registry.freeze())
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        write_atomic(output, text)
    except OSError as error:
        raise InputError(
            code="REG-018", what=f"{output} cannot be written", why=error.strerror, fix="choose another -o"
        ) from error
    say(f"wrote {output}; compare later: codex registry diff {output}")


@click.command()
@click.argument("old", metavar="OLD")
@click.argument("new", metavar="[NEW]", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def diff(session: Session, old: str, new: str | None, as_json: bool) -> int:
    """Name plugins and components that were lost, are new or changed; exit 1 when something differs.

    \b
    Examples:
      codex registry diff plugins.json
      codex registry diff plugins-before.json plugins-after.json
      codex registry diff @last --json

    OLD and NEW are freeze files, lock files or runs (`-` reads one from standard input); without NEW, what is
    installed now.
    """
    now = session.registry.freeze() if new is None else _read(session, new)
    changes = frozen.compare(_read(session, old), now)
    return _told(changes, changes, as_json=as_json, same="no plugin differs")


@click.command()
@click.argument("dist", metavar="[DIST]", required=False)
@click.option(
    "--frozen", "reference", metavar="FILE", help="Verify a freeze file, lock or run; - reads stdin."
)
@click.option("--json", "as_json", is_flag=True, help="With --frozen: print one JSON object.")
@click.pass_obj
def check(session: Session, dist: str | None, reference: str | None, as_json: bool) -> int:
    """Run the conformance suites on a distribution's components, or verify that a frozen set is installed.

    \b
    Examples:
      codex registry check my-tok
      codex registry check --frozen plugins.json

    FILE is a freeze file, a lock file or a run; `codex registry freeze | codex registry check --frozen -` is clean.
    """
    if (dist is None) == (reference is None):
        raise UsageError(
            code="CLI-001",
            what="codex registry check takes a distribution or --frozen FILE",
            fix="codex registry check --help",
        )
    if reference is None:
        assert dist is not None
        return _conform(session, dist)
    changes = frozen.compare(_read(session, reference), session.registry.freeze())
    harm = [change for change in changes if change.what == "lost" or change.lost or change.altered]
    return _told(changes, harm, as_json=as_json, same="every frozen plugin is installed as it was")


def _read(session: Session, reference: str) -> Sequence[Plugin]:
    """The frozen set that a file, a lock, a run or standard input holds."""
    if reference == "-":
        return frozen.parse(sys.stdin.read(), where="standard input")
    path = Path(reference)
    if not path.is_file():
        return runs.find(reference, session.places).lock().plugins
    try:
        return frozen.parse(path.read_text(encoding="utf-8"), where=reference)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            code="REG-018",
            what="this is no frozen set of plugins",
            where=reference,
            why=str(error),
            fix="codex registry freeze -o FILE",
        ) from error


def _told(changes: Sequence[Change], harm: Sequence[Change], *, as_json: bool, same: str) -> int:
    """Print the changes; 1 when there is one that counts."""
    if as_json:
        print_json("codex-registry-diff/1", {"changes": [change._asdict() for change in changes]})
    else:
        lines = [line for change in changes for line in _lines(change)]
        click.echo("\n".join(escaped(line) for line in lines) if lines else same)
    return int(ExitCode.NO if harm else ExitCode.OK)


def _lines(change: Change) -> list[str]:
    versions = {
        "lost": str(change.before),
        "new": str(change.after),
        "changed": str(change.after)
        if change.before == change.after
        else f"{change.before} -> {change.after}",
    }
    marks = (("-", change.lost), ("+", change.new), ("~", change.altered), (" ", change.details))
    return [f"{change.what:<8} {change.plugin} {versions[change.what]}"] + [
        f"  {mark} {name}" for mark, names in marks for name in names
    ]


def _conform(session: Session, dist: str) -> int:
    """Run the conformance suites on one distribution in a process of their own."""
    offered = sorted({row.dist for row in session.registry.rows})
    if normalised(dist) not in offered:
        near = get_close_matches(normalised(dist), offered, n=3)
        raise MissingDependency(
            code="REG-030",
            what=f"no installed distribution called {dist!r} offers plugins",
            why=f"did you mean {' or '.join(near)}?" if near else f"there are: {', '.join(offered)}",
            fix="codex registry list",
        )
    if not is_present("pytest", index.search_path()):
        raise MissingDependency(
            code="REG-005",
            what="the conformance suites need pytest, which is not installed",
            fix="pip install pytest",
        )
    with tempfile.TemporaryDirectory(prefix="codex-check-") as folder:
        command = [sys.executable, "-m", "pytest", "-p", "codex_core.testing", "-p", "no:cacheprovider"]
        command += ["-c", os.devnull, "--rootdir", folder, "--codex-dist", normalised(dist)]
        code = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, check=False).returncode
    if code == _NO_TESTS:
        raise MissingDependency(
            code="REG-030",
            what=f"{dist} has nothing that a conformance suite could check",
            fix=f"codex registry doctor {dist}",
        )
    return int(ExitCode.OK if code == 0 else ExitCode.NO)

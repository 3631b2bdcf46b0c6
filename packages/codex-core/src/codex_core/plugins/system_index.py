"""The index that an installation brings along: written once into an image, read by everybody who runs it.

Decision: its inputs are compared by content alone, because unpacking an image gives files new times and inodes; it
is readable by everybody and writable by its owner only.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping

from codex_core import __version__
from codex_core.errors import InputError
from codex_core.plugins import index, snapshot
from codex_core.plugins.selection import Selection


def place() -> str:
    """The folder of the index of this installation."""
    return os.path.join(sys.prefix, "share", "codex", "index")


def write(selection: Selection, environ: Mapping[str, str]) -> tuple[str, int]:
    """Look at everything anew and write the answer; returns the file and the number of rows.

    Raises `InputError` when the place cannot be written, or when not everything could be looked at.
    """
    folder = place()
    search = index.search_path()
    wanted = index.identity(search, selection.key, __version__)
    taken = snapshot.take(selection, {**environ, "CODEX_INDEX": folder}, refresh=True)
    stored = index.read(wanted, [folder])
    if stored is None:
        raise _refused(folder, "it cannot be written, or is not trusted because others may write there")
    if stored.expires < time.time():
        os.unlink(stored.path)
        raise _refused(folder, "not every plugin could be looked at; codex registry list says which")
    inputs = [index.described_by_content(line) for line in stored.inputs]
    index.write(
        wanted,
        folder,
        inputs=inputs,
        presence=stored.presence,
        expires=stored.expires,
        rows=stored.rows,
        facts=stored.facts,
    )
    os.chmod(folder, 0o755)
    os.chmod(stored.path, 0o644)
    return stored.path, len(taken.rows)


def _refused(folder: str, why: str) -> InputError:
    return InputError(
        code="REG-019",
        what="the index of the installation could not be written",
        where=folder,
        why=why,
        fix=f"ls -ld {folder}",
    )

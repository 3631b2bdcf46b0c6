"""A folder that appears whole or not at all.

Decision: everything is written beside the final place under a name that no reader takes, and renamed last; whatever
goes wrong before, nothing is left that could be taken for the result.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from codex_core.errors import InputError
from codex_core.files import OS_FILES, Files


@contextmanager
def new_folder(target: Path, *, files: Files = OS_FILES) -> Iterator[Path]:
    """Give a folder to fill, which becomes `target` when the block ends well and goes when it does not.

    Raises `InputError` when the place is taken or cannot be written.
    """
    if target.exists():
        raise _unwritable(target, "it exists already, and nothing is written over")
    folder = target.with_name(f".{target.name}.tmp-{secrets.token_hex(4)}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        files.make_folder(folder)
        yield folder
        for path in sorted(folder.rglob("*"), reverse=True):
            (files.sync_folder if path.is_dir() else files.sync_file)(path)
        files.sync_folder(folder)
        files.rename(folder, target)
        files.sync_folder(target.parent)
    except OSError as error:
        raise _unwritable(target, error.strerror or str(error)) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _unwritable(target: Path, why: str) -> InputError:
    return InputError(
        code="MOD-012",
        what="the folder cannot be written",
        where=str(target),
        why=why,
        fix="name another place with --out",
    )

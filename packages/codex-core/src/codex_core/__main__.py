"""The `codex` command. `--version` and `registry list` are answered before the command line proper is imported.

Decision: `python -m codex_core` equals `codex`.
"""

from __future__ import annotations

import gc
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments in (["--version"], ["-V"]):
        from codex_core import __version__

        print(f"codex {__version__}")
        return 0
    # What is imported and listed here lives to the end: looking for garbage in it costs a fifth of a bare start for
    # every command, and more for a list of many plugins (bench/startup.py).
    collects = gc.isenabled()
    gc.disable()
    try:
        if arguments[:2] == ["registry", "list"] and (code := _list(arguments[2:])) is not None:
            return code
        from codex_core.cli.main import main as run
    finally:
        if collects:
            gc.enable()
    return run(arguments)


def _list(arguments: list[str]) -> int | None:
    """Answer `registry list` at once; None when the command line proper has to, which also reports errors."""
    from codex_core.plugins import listing

    try:
        return listing.answer(arguments)
    except BrokenPipeError:
        # The reader went away: later flushes at interpreter exit must not complain either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 141
    except KeyboardInterrupt:
        return 130
    except Exception:  # noqa: BLE001 - whatever it is, the command line fails in the same way and says it well
        return None


if __name__ == "__main__":
    sys.exit(main())

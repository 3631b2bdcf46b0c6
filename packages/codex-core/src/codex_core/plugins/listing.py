"""`codex registry list`: one row per claimed component, as a table or as JSON.

Decisions: a stored answer is printed as it is, without being parsed; rows that are not `ok` show reason and fix
below the table; control characters of names and texts are escaped; a listing exits 0 whatever the rows say,
unless `--check` asks. This module is on the path of commands that answer at once, so it parses its few options
itself; whatever it does not know it leaves to the command line proper.
"""

from __future__ import annotations

import os
import sys

from codex_core import CODEX_API, __version__
from codex_core.plugins import index
from codex_core.plugins.parsing import parse
from codex_core.plugins.selection import Selection

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

#: Columns that a summary needs to stand beside its row; with fewer it stands below.
_NARROWEST = 32

_FLAGS = ("--json", "--all", "--check", "--refresh")


def answer(arguments: Sequence[str]) -> int | None:
    """Answer `registry list ARGUMENTS` and return the exit code; None when the arguments need the command line."""
    flags = {argument for argument in arguments if argument in _FLAGS}
    others = [argument for argument in arguments if argument not in _FLAGS]
    kind = others[0] if others else None
    if len(others) > 1 or (kind is not None and (kind.startswith("-") or kind not in _kinds())):
        return None
    return show(
        Selection.from_environment(),
        kind=kind,
        as_json="--json" in flags,
        absent_too="--all" in flags,
        check="--check" in flags,
        refresh="--refresh" in flags,
    )


def show(
    selection: Selection,
    *,
    kind: str | None = None,
    home: str | None = None,
    as_json: bool = False,
    absent_too: bool = False,
    check: bool = False,
    refresh: bool = False,
) -> int:
    """Print the rows and return the exit code."""
    held = None if refresh else stored(selection, home)
    if held is not None and as_json and kind is None and not (absent_too or check):
        return _print(envelope(held.rows))
    rows = _parsed(held.rows) if held is not None else taken(selection, home, refresh=refresh)
    if absent_too:
        from codex_core.plugins import known

        rows = known.with_absent(rows)
    if kind is not None:
        rows = [row for row in rows if row["kind"] == kind]
    shown = envelope(render(rows)) if as_json else table(rows, _columns()).encode("ascii", "backslashreplace")
    _print(shown)
    return int(check and any(row["state"] not in ("ok", "not-installed") for row in rows))


def render(rows: Sequence[dict[str, Any]]) -> bytes:
    """Rows as they stand in the index and in `--json`: one object per line, ASCII only."""
    import json

    return ",\n".join(map(json.JSONEncoder(ensure_ascii=True).encode, rows)).encode("ascii")


def envelope(rendered: bytes) -> bytes:
    """The document of `registry list --json` around rendered rows."""
    python = ".".join(map(str, sys.version_info[:3]))
    head = (
        f'{{"schema": "codex-registry-list/1", "core": "{__version__}", '
        f'"api": [{CODEX_API[0]}, {CODEX_API[1]}], "python": "{python}", "rows": [\n'
    )
    return head.encode("ascii") + rendered + b"\n]}\n"


def table(rows: Sequence[dict[str, Any]], columns: int | None = None) -> str:
    """Rows as aligned columns, then what is wrong and how to repair it; summaries are broken to fit `columns`."""
    if not rows:
        return "nothing is installed that offers components of this kind\n"
    lines = [("KIND", "NAME", "STATE", "DISTRIBUTION", "SUMMARY")]
    for row in rows:
        dist = f"{row['dist']} {row['version'] or ''}".strip()
        lines.append((row["kind"], row["name"], row["state"], dist, row["summary"] or ""))
    shown = [tuple(map(escaped, line)) for line in lines]
    widths = [max(len(line[column]) for line in shown) for column in range(4)]
    text = [one for line in shown for one in _fitted(line, widths, columns)]
    for row in rows:
        if row["state"] != "ok":
            text += ["", *(escaped(line) for line in explanation(row))]
        elif row["notes"]:
            text += ["", *(escaped(f"note {row['kind']}/{row['id']}: {note}") for note in row["notes"])]
    count = sum(row["state"] == "ok" for row in rows)
    return "\n".join([*text, "", f"{count} of {len(rows)} rows are ok"]) + "\n"


def _fitted(line: tuple[str, ...], widths: list[int], columns: int | None) -> list[str]:
    """One row as lines no longer than `columns`: its summary goes on below itself, or stands below the row."""
    head = "  ".join(cell.ljust(width) for cell, width in zip(line[:-1], widths, strict=True)) + "  "
    if columns is None or len(head) + len(line[-1]) <= columns:
        return [(head + line[-1]).rstrip()]
    if columns - len(head) >= _NARROWEST:
        first, *others = _broken(line[-1], columns - len(head))
        return [head + first, *(" " * len(head) + other for other in others)]
    return [head.rstrip(), *(f"    {part}" for part in _broken(line[-1], columns - 4))]


def _broken(text: str, width: int) -> list[str]:
    """A text as lines of at most `width` characters, broken at spaces."""
    lines: list[str] = []
    for word in text.split():
        if lines and len(lines[-1]) + 1 + len(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines or [""]


def _columns() -> int | None:
    """The columns of the terminal that reads the answer; None for a file or a pipe, where nothing is broken."""
    if not sys.stdout.isatty():
        return None
    try:
        return int(os.environ.get("COLUMNS") or os.get_terminal_size(1).columns) or None
    except (OSError, ValueError):
        return None


def explanation(row: dict[str, Any]) -> list[str]:
    """What is wrong with a row, and the fix."""
    lines = [
        f"{row['state']}[{row['reason']}] {row['kind']}/{row['id']}: {row['hint']}",
        f"  fix: {row['fix']}",
    ]
    return lines + [f"  note: {note}" for note in row["notes"]]


def escaped(text: str) -> str:
    """A text without effect on a terminal: control characters are spelt out."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def stored(selection: Selection, home: str | None = None) -> index.Stored | None:
    """The stored answer, if everything it depends on is as it was."""
    search = index.search_path()
    wanted = index.identity(search, selection.key, __version__)
    return index.read_valid(wanted, index.folders(os.environ, home), search)


def _parsed(rendered: bytes) -> list[dict[str, Any]]:
    return [parse(line.decode("ascii")) for line in rendered.split(b",\n") if line]


def taken(selection: Selection, home: str | None = None, *, refresh: bool = False) -> list[dict[str, Any]]:
    """The rows, stored or after a new look; raises `UsageError` for a selection that names nothing."""
    from codex_core.plugins import snapshot

    return snapshot.take(selection, os.environ, home, refresh=refresh).rows


def _print(content: bytes) -> int:
    sys.stdout.flush()
    stream = getattr(sys.stdout, "buffer", None)
    if stream is None:
        sys.stdout.write(content.decode("ascii"))
    else:
        stream.write(content)
    sys.stdout.flush()
    return 0


def _kinds() -> tuple[str, ...]:
    from codex_core.components import KINDS

    return (*KINDS, "events", "plugin")

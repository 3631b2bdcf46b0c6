"""Writers of metric rows: lines of JSON, and a table.

Decisions: rows are appended, so a resumed run continues the file and superseded rows stay in it (the run's own views
hold the rows that count); rows are spelled as in the views. What a crash left of an unfinished line is removed when
the file is opened again. The table widens when a row brings a new column: it is then replaced as a whole.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from codex_core.contracts import RunInfo
from codex_core.errors import InputError
from codex_core.evaluation.options import WriterOptions
from codex_core.files import write_atomic
from codex_core.running.views import ROW_KEYS, as_csv, as_ndjson


class NdjsonWriter:
    """Appends each row as a line of JSON; see `codex_core.contracts.Writer`."""

    capabilities = frozenset({"durable"})

    def __init__(self, options: WriterOptions) -> None:
        self.options = options
        self._file = AppendedFile()

    def probe(self) -> str | None:
        """Always usable: it needs nothing but a disk."""
        return None

    def open(self, run: RunInfo) -> None:
        """Open the file of this run; raises `InputError` when it cannot be written."""
        self._file.open(_path(self.options, run, suffix="ndjson"))

    def write(self, row: Mapping[str, Any], sequence: int) -> None:
        """Append one row."""
        self._file.append(as_ndjson([dict(row)]).encode(), sequence)

    def flush(self) -> int:
        """Sync the file; returns the sequence number of the newest row, 0 before the first."""
        return self._file.sync()

    def close(self) -> None:
        """Sync and close the file."""
        self._file.close()


class CsvWriter:
    """Appends each row to a table with one column per name; see `codex_core.contracts.Writer`."""

    capabilities = frozenset({"durable"})

    def __init__(self, options: WriterOptions) -> None:
        self.options = options
        self._file = AppendedFile()
        self._columns: list[str] = []

    def probe(self) -> str | None:
        """Always usable: it needs nothing but a disk."""
        return None

    def open(self, run: RunInfo) -> None:
        """Open the table of this run; raises `InputError` when it cannot be written."""
        self._file.open(_path(self.options, run, suffix="csv"))
        with self._file.path.open(encoding="utf-8", newline="") as table:
            self._columns = next(csv.reader(table), [])

    def write(self, row: Mapping[str, Any], sequence: int) -> None:
        """Append one row, after widening the table if the row has a column that is new."""
        cells = next(csv.DictReader(io.StringIO(as_csv([dict(row)]))))
        if not cells.keys() <= set(self._columns):
            self._widen(cells)
        self._file.append(_lines(self._columns, [cells]), sequence)

    def flush(self) -> int:
        """Sync the file; returns the sequence number of the newest row, 0 before the first."""
        return self._file.sync()

    def close(self) -> None:
        """Sync and close the file."""
        self._file.close()

    def _widen(self, cells: Iterable[str]) -> None:
        names = sorted({*self._columns, *cells} - set(ROW_KEYS))
        self._file.sync()
        with self._file.path.open(encoding="utf-8", newline="") as table:
            rows = list(csv.DictReader(table))
        self._columns = [*ROW_KEYS, *names]
        header = dict(zip(self._columns, self._columns, strict=True))
        self._file.replace(_lines(self._columns, [header, *rows]))


class AppendedFile:
    """A file that grows by whole lines; `path` and an open file from `open` until `close`."""

    path: Path
    _file: BinaryIO
    _written = 0

    def open(self, path: Path) -> None:
        """Open for appending, after removing what a crash left of the last line."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.path, self._file = path, path.open("ab")
            _remove_torn_line(path)
        except OSError as error:
            raise InputError(
                code="EVL-005",
                what="the metric writer cannot write to its file",
                where=str(path),
                why=str(error),
                fix="make the folder writable, or choose another path in the writer's options",
            ) from error

    def append(self, lines: bytes, sequence: int) -> None:
        """Append lines that end with row number `sequence`."""
        self._file.write(lines)
        self._written = sequence

    def replace(self, content: bytes) -> None:
        """Give the file another content, whole or not at all, and go on appending to that."""
        self._file.close()
        write_atomic(self.path, content)
        self._file = self.path.open("ab")

    def sync(self) -> int:
        """Make everything durable; returns the sequence number of the newest row, 0 before the first."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._written

    def close(self) -> None:
        """Sync and close."""
        self.sync()
        self._file.close()


def _path(options: WriterOptions, run: RunInfo, *, suffix: str) -> Path:
    return run.path / (options.path or f"writers/metrics-{run.name}.{suffix}")


def _lines(columns: list[str], rows: Iterable[Mapping[str, str]]) -> bytes:
    text = io.StringIO()
    csv.DictWriter(text, columns, restval="", lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _remove_torn_line(path: Path) -> None:
    content = path.read_bytes()
    if content and not content.endswith(b"\n"):
        os.truncate(path, content.rfind(b"\n") + 1)

"""Metric views: `metrics.ndjson` and `metrics.csv`, what a run measured, free of time.

Decisions: a view is a pure function of the journal: the newest row per (step, split) over the attempts that count.
An attempt that resumed at step s supersedes the rows of earlier attempts after s. Rows hold deterministic values
only and floats in full precision, so an unbroken run and a broken one that was resumed have equal bytes.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from codex_core.files import OS_FILES, Files, write_atomic
from codex_core.journal import JournalRecord, plain

#: Keys that every row or the writers own; a metric cannot have one of these names.
ROW_KEYS = ("step", "split", "tokens")

#: Rows of the training loop carry this split name.
TRAIN = "train"

Row = dict[str, Any]


def row_of(kind: str, fields: Mapping[str, Any]) -> Row | None:
    """The metric row of a `step` or `evaluation` record, None for other kinds.

    Raises `ValueError` for a metric that is named like a key of the row itself.
    """
    if kind not in ("step", "evaluation"):
        return None
    metrics: Mapping[str, Any] = fields["metrics"]
    if taken := [name for name in metrics if name in ROW_KEYS]:
        raise ValueError(f"a metric cannot be called {taken[0]!r}; rows use that name themselves")
    row: Row = {"step": fields["step"], "split": TRAIN if kind == "step" else fields["split"]}
    if kind == "step":
        row["tokens"] = fields["tokens"]
    return row | {name: plain(metrics[name]) for name in sorted(metrics)}


class MetricRows:
    """The rows that count, kept up to date record by record."""

    def __init__(self) -> None:
        self._rows: dict[tuple[int, str], Row] = {}

    @classmethod
    def of(cls, records: Iterable[JournalRecord]) -> MetricRows:
        """The rows of a journal."""
        rows = cls()
        for record in records:
            rows.take(record.kind, record.fields)
        return rows

    def take(self, kind: str, fields: Mapping[str, Any]) -> Row | None:
        """Take one record into account; returns its row, if it has one."""
        if kind == "run_resumed":
            self._rows = {key: row for key, row in self._rows.items() if key[0] <= fields["step"]}
        row = row_of(kind, fields)
        if row is not None:
            self._rows[row["step"], row["split"]] = row
        return row

    def rows(self) -> list[Row]:
        """All rows by step; within a step training first, then splits by name."""
        order = sorted(self._rows, key=lambda key: (key[0], key[1] != TRAIN, key[1]))
        return [self._rows[key] for key in order]

    def latest(self) -> dict[str, Row]:
        """The newest row of each split."""
        return {row["split"]: row for row in self.rows()}

    def write(self, run_dir: Path, *, files: Files = OS_FILES) -> None:
        """Rewrite both views of a run directory, each atomically."""
        rows = self.rows()
        write_atomic(run_dir / "metrics.ndjson", as_ndjson(rows), files=files)
        write_atomic(run_dir / "metrics.csv", as_csv(rows), files=files)


def as_ndjson(rows: Iterable[Row]) -> str:
    """Rows as lines of JSON; floats read back to the same bits."""
    return "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)


def as_csv(rows: Iterable[Row]) -> str:
    """Rows as a table with one column per name; a value that was not measured is an empty cell.

    >>> print(as_csv([{"step": 1, "split": "train", "tokens": 8, "loss": 0.1}]), end="")
    step,split,tokens,loss
    1,train,8,0.1
    """
    rows = list(rows)
    names = sorted({name for row in rows for name in row} - set(ROW_KEYS))
    table = io.StringIO()
    writer = csv.DictWriter(table, [*ROW_KEYS, *names], restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    return table.getvalue()


def _cell(value: Any) -> Any:
    return repr(value) if isinstance(value, float) and math.isfinite(value) else value


def read_rows(run_dir: Path) -> list[Row]:
    """The rows of `metrics.ndjson`, as last written; an absent view has none."""
    try:
        text = (run_dir / "metrics.ndjson").read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in text.splitlines()]

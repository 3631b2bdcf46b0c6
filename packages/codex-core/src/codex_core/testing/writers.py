"""What every writer must do."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from codex_core.contracts import RunInfo, Writer
from codex_core.testing.claims import claim

#: Rows as runs give them: training and evaluation, and a value that JSON has no number for.
ROWS: tuple[Mapping[str, Any], ...] = (
    {"step": 1, "split": "train", "tokens": 64, "loss": 4.5},
    {"step": 2, "split": "train", "tokens": 128, "loss": 0.1 + 0.2},
    {"step": 2, "split": "validation", "bits_per_byte": 1.75, "perplexity": 1e300},
    {"step": 3, "split": "train", "tokens": 192, "loss": "NaN"},
)


def check_writer(
    cls: Callable[[Any], Writer],
    options: Any,
    *,
    folder: Path,
    read: Callable[[Path], Sequence[Mapping[str, Any]]] | None = None,
    capabilities: Collection[str] = (),
) -> None:
    """Write rows in two attempts into the run directory `folder`.

    `read` reads back what was written; given, it must find every row with its values, as text or as numbers.
    What is declared as `capabilities` the writer must say of itself, too.
    """
    lacking = set(capabilities) - set(cls(options).capabilities)
    claim(not lacking, f"declared as a capability, and not said by the writer: {', '.join(sorted(lacking))}")
    for attempt in (1, 2):
        _write_attempt(cls(options), RunInfo(run_id="r1", name="run", attempt=attempt, path=folder))
    if read is not None:
        found = [{key: _number(value) for key, value in row.items()} for row in read(folder)]
        claim(found == [dict(row) for row in (*ROWS, *ROWS)], f"the rows read back differ: {found}")


def _write_attempt(writer: Writer, run: RunInfo) -> None:
    claim(isinstance(writer, Writer), "the target's objects lack a member of contracts.Writer")
    claim(isinstance(writer.capabilities, frozenset), "capabilities is a frozenset")
    problem = writer.probe()
    claim(problem is None, f"the writer says that it cannot be used here: {problem}")
    writer.open(run)
    claim(writer.flush() <= 0, "a writer acknowledges a row that it was never given")
    for sequence, row in enumerate(ROWS, 1):
        kept = dict(row)
        writer.write(kept, sequence)
        claim(kept == row, "a writer must leave its rows as they are")
        if sequence == 2:
            claim(writer.flush() == 2, "flush must acknowledge the newest row")
    claim(writer.flush() == len(ROWS), "flush must acknowledge the newest row")
    writer.close()


def _number(value: Any) -> Any:
    """What a text means, for formats that hold text only."""
    for kind in (int, float):
        try:
            return kind(value) if isinstance(value, str) and value != "NaN" else value
        except ValueError:
            continue
    return value

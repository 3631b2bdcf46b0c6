"""Which rows repeat an earlier one, found by their keys in bounded memory.

Decisions: keys are dealt into buckets by their first bits, on disk when there is more than one bucket; each bucket is
sorted alone, so memory depends on the size of a bucket (about 2^20 keys: 24 MB of entries and as much for sorting) and
not on the number of rows; the caller's own array of one byte per row is all that grows. Ten million rows: 10 buckets,
240 MB of scratch files, 10 MB in memory.

Shapes: entries are (row, key), a key is two uint64, n entries per block.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from codex_core.data.columns import U64, ColumnWriter, read_column
from codex_core.files import OS_FILES, Files

#: Entries that are sorted at once.
BUCKET_ENTRIES = 1 << 20

Rows = NDArray[np.uint64]
Keys = NDArray[np.uint64]


def repeats(
    entries: Iterable[tuple[Rows, Keys]], *, num_entries: int, scratch: Path, files: Files = OS_FILES
) -> Iterator[tuple[Rows, Rows]]:
    """Rows that have a key which an earlier row has, and the first row that has it, in blocks.

    `entries` come in blocks, a row may have several keys; `scratch` is an existing folder for temporary files.
    """
    num_buckets = -(-num_entries // BUCKET_ENTRIES)
    if num_buckets <= 1:
        blocks = list(entries)
        if blocks:
            rows, keys = (np.concatenate(part) for part in zip(*blocks, strict=True))
            yield _within(rows, keys)
        return
    paths = [scratch / f"bucket-{number:05d}" for number in range(num_buckets)]
    _deal(entries, paths, files=files)
    for path in paths:
        held = np.array(read_column(path, U64)).reshape(-1, 3)
        files.remove(path)
        yield _within(held[:, 0], held[:, 1:])


def _deal(entries: Iterable[tuple[Rows, Keys]], paths: list[Path], *, files: Files) -> None:
    """Write each entry to the file of its bucket."""
    with ExitStack() as stack:
        buckets = [stack.enter_context(ColumnWriter(path, files=files)) for path in paths]
        for rows, keys in entries:
            number = (keys[:, 0] >> np.uint64(32)) * np.uint64(len(paths)) >> np.uint64(32)
            order = np.argsort(number, kind="stable")
            borders = np.searchsorted(number[order], np.arange(len(paths) + 1))
            held = np.concatenate((rows[:, None], keys), axis=1)[order]
            for bucket, first, last in zip(buckets, borders[:-1], borders[1:], strict=True):
                bucket.append_array(held[first:last])


def _within(rows: Rows, keys: Keys) -> tuple[Rows, Rows]:
    """Repeated rows and the first rows with their keys, among these entries."""
    order = np.lexsort((rows, keys[:, 1], keys[:, 0]))
    keys, rows = keys[order], rows[order]
    is_first = np.ones(len(rows), dtype=bool)
    is_first[1:] = (keys[1:] != keys[:-1]).any(axis=1)
    first = rows[np.maximum.accumulate(np.where(is_first, np.arange(len(rows)), 0))]
    repeated = rows != first
    return rows[repeated], first[repeated]

"""The dataset `parquet`: rows of Parquet files.

Decisions: read by pyarrow, one batch of rows at a time, in one thread, so that memory is bounded by a row group's
columns and not by the file; a row's number counts from 1 within its file; a part is a run of row groups.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow
import pyarrow.parquet as pq

from codex_core.data.columnar import BATCH_ROWS, columns_of, records_of
from codex_core.data.files import FileDataset, row_settings
from codex_core.data.inputs import InputFile, unreadable
from codex_core.errors import InputError
from codex_core.records import Part, Record


class ParquetDataset(FileDataset):
    """Rows of Parquet files as records; see `ParquetOptions`."""

    reader = "parquet/1"

    def settings(self) -> dict[str, Any]:
        """Form, fields and group."""
        return row_settings(self.options, place="parquet")

    def rows(self, file: InputFile, part: Part | None) -> Iterator[Record]:
        """The rows of a file, or of the row groups that begin within a part."""
        with _opened(file) as table:
            batches = _batches(table, part, columns_of(self.options))
            yield from records_of(batches, file, self.options, account=self.account, place="parquet")

    def parts_of(self, file: InputFile, part_bytes: int) -> Iterator[Part]:
        """Runs of row groups of about `part_bytes`."""
        with _opened(file) as table:
            size = file.path.stat().st_size
            start, row, first = 0, 1, 1
            for offset, num_rows in _row_groups(table):
                if offset - start >= part_bytes and row > first:
                    yield Part(file=file.name, start=start, end=offset, row=first)
                    start, first = offset, row
                row += num_rows
            yield Part(file=file.name, start=start, end=size, row=first)


@contextmanager
def _opened(file: InputFile) -> Iterator[Any]:
    """The file's footer, checked; damage met while reading is an `InputError`, too."""
    try:
        with pq.ParquetFile(file.path, pre_buffer=False) as table:
            yield table
    except pyarrow.ArrowException as error:
        raise InputError(
            code="DAT-004",
            what="no Parquet file, or a damaged one",
            where=str(file.path),
            why=str(error).splitlines()[0][:200],
            fix="write the file again",
        ) from error
    except OSError as error:
        raise unreadable(file.path, error) from error


def _row_groups(table: Any) -> Iterator[tuple[int, int]]:
    """Where each row group begins in the file, and how many rows it has."""
    for i in range(table.metadata.num_row_groups):
        group = table.metadata.row_group(i)
        columns = (group.column(j) for j in range(group.num_columns))
        offsets = [
            min(filter(None, (column.dictionary_page_offset, column.data_page_offset))) for column in columns
        ]
        yield min(offsets), group.num_rows


def _batches(table: Any, part: Part | None, columns: list[str]) -> Iterator[tuple[int, Any]]:
    present = [name for name in columns if name in table.schema_arrow.names]
    row = 1
    for number, (offset, num_rows) in enumerate(_row_groups(table)):
        if part is None or part.start <= offset < part.end:
            first = row
            for batch in table.iter_batches(
                BATCH_ROWS, row_groups=[number], columns=present, use_threads=False
            ):
                yield first, batch
                first += batch.num_rows
        row += num_rows

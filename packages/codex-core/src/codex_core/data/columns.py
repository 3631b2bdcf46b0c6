"""Columns on disk: raw little-endian values without a header, so that any tool can map them.

Decisions: a column of texts is two files, the UTF-8 bytes back to back and their uint64 offsets (n + 1 values);
writers hold at most a megabyte; a place that cannot be written, a full disk included, is one clear error.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from codex_core.errors import InputError
from codex_core.files import OS_FILES, Files

_BUFFER_BYTES = 1 << 20

U64 = np.dtype("<u8")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an operating system error on the way of writing `path` into an `InputError`."""
    try:
        yield
    except OSError as error:
        raise InputError(
            code="DAT-011",
            what="prepared data cannot be written",
            where=str(path),
            why=error.strerror or str(error),
            fix="free some space there, or set CODEX_STORE to a folder that can be written; nothing was left behind",
        ) from error


class ColumnWriter:
    """Appends bytes to a new file through a buffer; a context manager."""

    def __init__(self, path: Path, *, files: Files = OS_FILES) -> None:
        self.path = path
        self.num_bytes = 0
        self._files = files
        self._held = bytearray()
        self._descriptor = -1

    def __enter__(self) -> Self:
        with writing(self.path):
            self._descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _O_BINARY, 0o666)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._flush()
        finally:
            os.close(self._descriptor)

    def append(self, data: bytes | memoryview) -> None:
        """Add bytes at the end."""
        self._held += data
        self.num_bytes += len(data)
        if len(self._held) >= _BUFFER_BYTES:
            self._flush()

    def append_number(self, number: int) -> None:
        """Add one uint64."""
        self.append(number.to_bytes(8, "little"))

    def append_array(self, values: NDArray[Any], dtype: DTypeLike = "u8") -> None:
        """Add the values of an array, as little-endian `dtype`, a buffer at a time."""
        plain = np.ascontiguousarray(values, dtype=np.dtype(dtype).newbyteorder("<")).reshape(-1)
        data = plain.view(np.uint8)
        for first in range(0, len(data), _BUFFER_BYTES):
            self.append(data[first : first + _BUFFER_BYTES].data)

    def _flush(self) -> None:
        with writing(self.path):
            self._files.append(self._descriptor, bytes(self._held))
        self._held.clear()


class TextColumnWriter:
    """Writes texts to `path` and their offsets to `path` + `.idx`; a context manager."""

    def __init__(self, path: Path, *, files: Files = OS_FILES) -> None:
        self.texts = ColumnWriter(path, files=files)
        self.offsets = ColumnWriter(path.with_name(path.name + ".idx"), files=files)

    def __enter__(self) -> Self:
        self.texts.__enter__()
        try:
            self.offsets.__enter__()
        except BaseException as error:  # the column opened first must not stay open; raised again
            self.texts.__exit__(type(error), error, None)
            raise
        self.offsets.append_number(0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.texts.__exit__(kind, error, trace)
        finally:
            self.offsets.__exit__(kind, error, trace)

    def append(self, text: str) -> int:
        """Add a text; returns its bytes."""
        data = text.encode()
        self.texts.append(data)
        self.offsets.append_number(self.texts.num_bytes)
        return len(data)

    def append_texts(self, column: TextColumn, first: int, last: int) -> None:
        """Add texts `first` to `last` (exclusive) of another column."""
        offsets = np.asarray(column.offsets[first : last + 1])
        base = self.texts.num_bytes
        self.texts.append_array(column.data[int(offsets[0]) : int(offsets[-1])], np.uint8)
        self.offsets.append_array(offsets[1:] - offsets[0] + np.uint64(base))


def write_column(path: Path, values: NDArray[Any], *, dtype: DTypeLike, files: Files = OS_FILES) -> None:
    """Write a whole column, as little-endian `dtype`."""
    with ColumnWriter(path, files=files) as column:
        column.append_array(values, dtype)


def read_column(path: Path, dtype: DTypeLike) -> NDArray[Any]:
    """Map a column for reading; an empty file is an empty array."""
    kind = np.dtype(dtype).newbyteorder("<")
    if path.stat().st_size == 0:
        return np.empty(0, dtype=kind)
    return np.memmap(path, dtype=kind, mode="r")


def forget(values: NDArray[Any]) -> None:
    """Let the system take back the memory of a mapped column; it is read again when it is used again."""
    held: Any = values
    while held is not None and not isinstance(held, mmap.mmap):
        held = getattr(held, "base", None)
    if held is not None and hasattr(mmap, "MADV_DONTNEED"):
        held.madvise(mmap.MADV_DONTNEED)


class TextColumn:
    """Texts that `TextColumnWriter` wrote, mapped for reading."""

    def __init__(self, path: Path) -> None:
        self.data = read_column(path, np.uint8)
        self.offsets = read_column(path.with_name(path.name + ".idx"), U64)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, number: int) -> str:
        first, last = int(self.offsets[number]), int(self.offsets[number + 1])
        return self.data[first:last].tobytes().decode()


_O_BINARY = getattr(os, "O_BINARY", 0)

"""Opening input files, compressed or not.

Decisions: the first bytes decide (gzip `1f 8b`, zstd `28 b5 2f fd`), never the name; neither can begin a UTF-8
text. A stream that ends early, fails its checksum or expands beyond the limit is an error of the file. The ratio is
taken after the first MiB, so that short files of one repeated word pass. What is read is never held as a whole: a
block of zstd takes 4 bytes at least and gives 128 KiB at most, so a step of 1 KiB gives at most 32 MiB.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from codex_core.data.inputs import unreadable
from codex_core.errors import InputError, MissingDependency

GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"

BUFFER_BYTES = 1 << 18
_FREE_BYTES = 1 << 20
_ZSTD_STEP_BYTES = 1 << 10


def compression_of(path: Path) -> str | None:
    """`gzip`, `zstd` or None, by the first bytes of a file."""
    try:
        with path.open("rb") as stream:
            head = stream.read(4)
    except OSError as error:
        raise unreadable(path, error) from error
    return "gzip" if head.startswith(GZIP) else "zstd" if head == ZSTD else None


@contextmanager
def opened(path: Path, *, max_expansion: int) -> Iterator[BinaryIO]:
    """A buffered stream of the file's bytes, decompressed where it is compressed; `OSError` becomes `InputError`."""
    compression = compression_of(path)
    try:
        with path.open("rb", buffering=BUFFER_BYTES) as stored:
            if compression is None:
                yield stored
                return
            unpack = _gunzip(stored) if compression == "gzip" else _unzstd(stored, path)
            source = _Unpacked(unpack, stored, path, max_expansion=max_expansion)
            yield cast(BinaryIO, io.BufferedReader(source, BUFFER_BYTES))
    except OSError as error:
        raise unreadable(path, error) from error


class _Unpacked(io.RawIOBase):
    """Decompressed bytes, with the ratio to what was read so far held below a bound."""

    def __init__(
        self, unpack: Callable[[int], bytes], stored: BinaryIO, path: Path, *, max_expansion: int
    ) -> None:
        self._unpack, self._stored, self._path = unpack, stored, path
        self._max_expansion = max_expansion
        self._num_bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._unpack(len(buffer))
        except (EOFError, gzip.BadGzipFile, zlib.error, _Damaged) as error:
            raise InputError(
                code="DAT-019",
                what="the compressed file is cut short or damaged",
                where=str(self._path),
                why=str(error),
                fix="copy or download the file again; nothing of it was taken",
            ) from error
        self._num_bytes += len(data)
        if self._num_bytes > _FREE_BYTES and self._num_bytes > self._max_expansion * self._stored.tell():
            raise InputError(
                code="DAT-020",
                what=f"the compressed file expands to more than {self._max_expansion} times its size",
                where=str(self._path),
                why=f"{self._num_bytes} bytes came from the first {self._stored.tell()}",
                fix="raise `max_expansion` if the file is what it should be",
            )
        buffer[: len(data)] = data
        return len(data)


class _Damaged(Exception):
    """A compressed stream is not what it should be."""


def _gunzip(stored: BinaryIO) -> Callable[[int], bytes]:
    return gzip.GzipFile(fileobj=stored, mode="rb").read1


def _unzstd(stored: BinaryIO, path: Path) -> Callable[[int], bytes]:
    try:
        import zstandard  # optional: only files that are compressed with it need it
    except ImportError as error:
        raise MissingDependency(
            code="DAT-023",
            what="the file is compressed with zstd, and zstandard is not installed",
            where=str(path),
            fix="pip install 'codex-core[zstd]'",
        ) from error
    return _Frames(stored, zstandard).read


class _Frames:
    """The frames of a zstd file, one after the other; an end inside a frame is an error, as damage is."""

    def __init__(self, stored: BinaryIO, zstandard: Any) -> None:
        self._stored, self._zstandard = stored, zstandard
        self._frame: Any = None
        self._ahead = b""
        self._ready = io.BytesIO()

    def read(self, size: int) -> bytes:
        """Up to `size` bytes, none at the end."""
        while not (data := self._ready.read(size)):
            packed = self._ahead or self._stored.read(_ZSTD_STEP_BYTES)
            self._ahead = b""
            if not packed:
                if self._frame is not None:
                    raise _Damaged("the file ends within a zstd frame")
                return b""
            self._ready = io.BytesIO(self._unpack(packed))
        return data

    def _unpack(self, packed: bytes) -> bytes:
        if self._frame is None:
            self._frame = self._zstandard.ZstdDecompressor().decompressobj()
        try:
            data: bytes = self._frame.decompress(packed)
        except self._zstandard.ZstdError as error:
            raise _Damaged(str(error)) from error
        if self._frame.eof:
            self._ahead, self._frame = self._frame.unused_data, None
        return data

"""The texts that a tokenizer is learned from, read in pieces that do not depend on how they lie in files.

Decisions: text files are read as one stream in the order of their names, and cut where a line begins at the margin
after a line end, which no tokenizer of ours reads across; so the pieces are the same for any reading size and for
any split of the text into files at line ends. A file that does not end with a line end ends a piece. JSON Lines
files (`*.jsonl`) give one text per row. Everything is strict UTF-8; each file is hashed while it is read.
"""

from __future__ import annotations

import codecs
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import attrs

from codex_core.errors import InputError
from codex_tokenizers.splitting import MARGIN

PIECE_CHARACTERS = 1 << 13
CHUNK_BYTES = 1 << 20


@attrs.frozen(kw_only=True)
class CorpusFile:
    """A file of a corpus: its relative name, size and digest."""

    path: str
    bytes: int
    sha256: str


class Corpus:
    """Texts of files, once; afterwards `files` tells what was read. `on_bytes` hears of every chunk."""

    def __init__(
        self,
        paths: Sequence[tuple[str, Path]],
        *,
        field: str = "text",
        chunk_bytes: int = CHUNK_BYTES,
        on_bytes: Callable[[int], None] = lambda done: None,
    ) -> None:
        self._paths = paths
        self._field = field
        self._chunk_bytes = chunk_bytes
        self._on_bytes = on_bytes
        self._done = 0
        self.files: list[CorpusFile] = []

    def __iter__(self) -> Iterator[str]:
        held = ""
        for name, path in self._paths:
            if path.suffix == ".jsonl":
                if held:
                    yield held
                    held = ""
                yield from self._rows(name, path)
                continue
            for text in self._texts(name, path):
                held += text
                while (end := _end_of_piece(held)) is not None:
                    yield held[:end]
                    held = held[end:]
            if held and not held.endswith("\n"):
                yield held
                held = ""
        if held:
            yield held

    def _texts(self, name: str, path: Path) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder("utf-8")(errors="strict")
        for chunk in self._chunks(name, path):
            yield self._decoded(decoder, chunk, path, final=False)
        yield self._decoded(decoder, b"", path, final=True)

    def _decoded(self, decoder: codecs.IncrementalDecoder, chunk: bytes, path: Path, *, final: bool) -> str:
        try:
            return decoder.decode(chunk, final=final)
        except UnicodeDecodeError as error:
            raise _unreadable(path, f"it is not UTF-8 text: {error.reason}") from error

    def _rows(self, name: str, path: Path) -> Iterator[str]:
        rest = b""
        line = 0
        for chunk in self._chunks(name, path):
            *whole, rest = (rest + chunk).split(b"\n")
            for data in whole:
                line += 1
                yield self._row(data, path, line)
        if rest:
            yield self._row(rest, path, line + 1)

    def _row(self, data: bytes, path: Path, line: int) -> str:
        try:
            row = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise _unreadable(path, f"line {line} is no JSON: {error}") from error
        text = row.get(self._field) if isinstance(row, dict) else None
        if not isinstance(text, str):
            raise _unreadable(path, f"line {line} has no text in the field {self._field!r}")
        return text

    def _chunks(self, name: str, path: Path) -> Iterator[bytes]:
        digest, size = hashlib.sha256(), 0
        try:
            with path.open("rb") as file:
                while chunk := file.read(self._chunk_bytes):
                    digest.update(chunk)
                    size += len(chunk)
                    self._done += len(chunk)
                    self._on_bytes(self._done)
                    yield chunk
        except OSError as error:
            raise _unreadable(path, error.strerror or str(error)) from error
        self.files.append(CorpusFile(path=name, bytes=size, sha256=f"sha256:{digest.hexdigest()}"))


def _end_of_piece(text: str) -> int | None:
    """Where the first piece of a text ends, None while no piece is full."""
    if len(text) <= PIECE_CHARACTERS:
        return None
    found = MARGIN.search(text, PIECE_CHARACTERS - 1)
    return None if found is None else found.end()


def _unreadable(path: Path, why: str) -> InputError:
    return InputError(
        code="TOK-019",
        what="a text to learn from cannot be read",
        where=str(path),
        why=why,
        fix="bring the file back, repair it, or take it out of `corpus`",
    )

"""The dataset `text`: UTF-8 files, one document per file, per paragraph or per line.

Decisions: text is kept as it is, carriage returns included; a paragraph is a run of lines with something on them,
without its final line end; its row is the number of its first line. Lines of white space alone are no documents.
A paragraph with a line that cannot be read is skipped as a whole: without that line it would be another text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import attrs

from codex_core.data.compressed import compression_of, opened
from codex_core.data.faults import RowFault
from codex_core.data.files import FileDataset
from codex_core.data.inputs import BYTE_ORDER_MARK, InputFile
from codex_core.data.jsonl import not_unicode
from codex_core.data.lines import BYTE_ORDER_MARK_NOTE, lines, stretches
from codex_core.records import Part, Record, plain_text


class TextDataset(FileDataset):
    """Text files as records; see `TextOptions`."""

    reader = "text/1"

    def settings(self) -> dict[str, Any]:
        """What one document is."""
        return {"document": self.options.document}

    def rows(self, file: InputFile, part: Part | None) -> Iterator[Record]:
        """The documents of a file."""
        if self.options.document == "file":
            return self._whole(file)
        found = self._lines(file, part)
        documents = paragraphs(found) if self.options.document == "paragraph" else _each(found)
        return self._readable(documents, file)

    def parts_of(self, file: InputFile, part_bytes: int) -> Iterator[Part]:
        """Stretches where a document is a line; otherwise, and when compressed, the whole file."""
        if self.options.document == "line" and compression_of(file.path) is None:
            return stretches(file, part_bytes=part_bytes)
        return super().parts_of(file, part_bytes)

    def _whole(self, file: InputFile) -> Iterator[Record]:
        with opened(file.path, max_expansion=self.options.max_expansion) as stream:
            data = stream.read()
        if data.startswith(BYTE_ORDER_MARK):
            data = data.removeprefix(BYTE_ORDER_MARK)
            self.account.notes[BYTE_ORDER_MARK_NOTE] += 1
        try:
            text = data.decode()
        except UnicodeDecodeError as error:
            self.account.refuse(not_unicode(data, error), file, 1 + data.count(b"\n", 0, error.start))
            return
        yield plain_text(text, id=file.name, source=(file.name, 1))

    def _readable(self, documents: Iterable[tuple[int, str | _Fault]], file: InputFile) -> Iterator[Record]:
        for line, text in documents:
            if isinstance(text, _Fault):
                self.account.refuse(text.fault, file, text.line)
            else:
                yield plain_text(text, id=f"{file.name}:{line}", source=(file.name, line))

    def _lines(self, file: InputFile, part: Part | None) -> Iterator[tuple[int, str | _Fault]]:
        """Lines as text, or what is wrong with them."""
        options = self.options
        too_long: list[_Fault] = []
        physical = lines(
            file,
            part,
            limit=options.max_line_bytes,
            max_expansion=options.max_expansion,
            account=self.account,
            on_fault=lambda fault, line: too_long.append(_Fault(line, fault)),
        )
        for number, data in physical:
            yield from ((fault.line, fault) for fault in too_long)
            too_long.clear()
            try:
                yield number, data.decode()
            except UnicodeDecodeError as error:
                yield number, _Fault(number, not_unicode(data, error))
        yield from ((fault.line, fault) for fault in too_long)


@attrs.frozen
class _Fault:
    """What is wrong with a line, in its place."""

    line: int
    fault: RowFault


def _each(lines: Iterable[tuple[int, str | _Fault]]) -> Iterator[tuple[int, str | _Fault]]:
    return ((number, line) for number, line in lines if isinstance(line, _Fault) or line.strip())


def paragraphs(lines: Iterable[tuple[int, str | _Fault]]) -> Iterator[tuple[int, str | _Fault]]:
    r"""Runs of non-blank lines with the number of their first line; a run with a fault is its first fault.

    >>> list(paragraphs(enumerate(["a", "b", "", "", "c"], start=1)))
    [(1, 'a\nb'), (5, 'c')]
    """
    held: list[str] = []
    first, fault = 0, None
    for number, line in lines:
        if isinstance(line, _Fault):
            fault = fault or line
        elif line.strip():
            first = first if held else number
            held.append(line)
        elif held or fault:
            yield first, fault or "\n".join(held)
            held, fault = [], None
    if held or fault:
        yield first, fault or "\n".join(held)

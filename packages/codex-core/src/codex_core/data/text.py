"""The dataset `text`: UTF-8 files, one document per file or per paragraph.

Decisions: text is kept as it is, carriage returns included; a paragraph is a run of lines with something on them,
without its final line end; its row is the number of its first line.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from codex_core.data.inputs import InputFile, find_files, read_text
from codex_core.data.options import TextOptions
from codex_core.records import Record, plain_text


class TextDataset:
    """Text files as records; see `TextOptions`."""

    def __init__(self, options: TextOptions) -> None:
        self.options = options

    def identity(self) -> dict[str, Any]:
        """Reader, options and the digest of each file."""
        files = [file.identity() for file in self._files()]
        return {"reader": "text/1", "document": self.options.document, "files": files}

    def records(self) -> Iterator[Record]:
        """The documents of all files, in sorted order of names."""
        for file in self._files():
            text = read_text(file)
            if self.options.document == "file":
                yield plain_text(text, id=file.name, source=(file.name, 1))
            else:
                for line, paragraph in paragraphs(text):
                    yield plain_text(paragraph, id=f"{file.name}:{line}", source=(file.name, line))

    def _files(self) -> list[InputFile]:
        return find_files(self.options.path, glob=self.options.glob)


def paragraphs(text: str) -> Iterator[tuple[int, str]]:
    r"""Runs of non-blank lines with the number of their first line.

    >>> list(paragraphs("a\nb\n\n\nc\n"))
    [(1, 'a\nb'), (5, 'c')]
    """
    held: list[str] = []
    number = 0
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            held.append(line)
        elif held:
            yield number - len(held), "\n".join(held)
            held = []
    if held:
        yield number - len(held) + 1, "\n".join(held)

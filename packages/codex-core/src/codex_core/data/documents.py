"""Documents on disk: the columns of one split, written record by record or copied run by run.

Decisions: one column per field, texts of turns back to back; source files are numbered, their names are kept by whoever
writes the folder; roles are numbered in the order in which they are stored first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codex_core.data.columns import U64, ColumnWriter, TextColumn, TextColumnWriter, read_column
from codex_core.files import OS_FILES, Files
from codex_core.records import Record, Turn


class TextShard:
    """The stored documents of one split, mapped for reading."""

    def __init__(
        self, folder: Path, split: str, *, roles: Sequence[str], names: Sequence[tuple[int, str]]
    ) -> None:
        self.roles = roles
        self.names = names
        self.text = TextColumn(folder / f"{split}.text")
        self.ids = TextColumn(folder / f"{split}.ids")
        self.turns = read_column(folder / f"{split}.turns", U64)
        self.first_turns = read_column(folder / f"{split}.turns.idx", U64)
        self.source = read_column(folder / f"{split}.source", U64).reshape(-1, 2)

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[Record]:
        return (self[number] for number in range(len(self)))

    def __getitem__(self, number: int) -> Record:
        turns = range(int(self.first_turns[number]), int(self.first_turns[number + 1]))
        return Record(
            id=self.ids[number],
            turns=tuple(self._turn(turn) for turn in turns),
            source=self.source_of(number)[1:],
        )

    def source_of(self, number: int) -> tuple[int, str, int]:
        """Where a document was read: number of the dataset in the plan, file, row (in text files the line)."""
        name, row = self.source[number]
        dataset, file = self.names[int(name)]
        return dataset, file, int(row)

    def first_bytes(self) -> NDArray[np.uint64]:
        """Where the text of each document starts in the column of texts, and where the last one ends (n + 1)."""
        starts: NDArray[np.uint64] = np.asarray(self.text.offsets)[self.first_turns]
        return starts

    def _turn(self, number: int) -> Turn:
        role, learn = divmod(int(self.turns[number]), 2)
        return Turn(self.roles[role], self.text[number], bool(learn))


class TurnTexts:
    """The texts of all turns of a split, as often as they are iterated: what tokenizers are trained on."""

    def __init__(self, shard: TextShard) -> None:
        self._shard = shard

    def __iter__(self) -> Iterator[str]:
        column = self._shard.text
        return (column[number] for number in range(len(column)))


class DocumentWriter:
    """Writes the documents of one split: turn texts, roles, ids and sources, as columns; a context manager."""

    def __init__(self, folder: Path, split: str, *, roles: dict[str, int], files: Files = OS_FILES) -> None:
        self.num_documents = self.num_turns = 0
        self._roles = roles
        self._text = TextColumnWriter(folder / f"{split}.text", files=files)
        self._ids = TextColumnWriter(folder / f"{split}.ids", files=files)
        self._turns = ColumnWriter(folder / f"{split}.turns", files=files)
        self._first_turns = ColumnWriter(folder / f"{split}.turns.idx", files=files)
        self._source = ColumnWriter(folder / f"{split}.source", files=files)
        self._stack = ExitStack()

    def __enter__(self) -> DocumentWriter:
        with self._stack:
            for column in (self._text, self._ids, self._turns, self._first_turns, self._source):
                self._stack.enter_context(column)
            self._first_turns.append_number(0)
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    @property
    def num_bytes(self) -> int:
        """Bytes of text so far."""
        return self._text.texts.num_bytes

    def append(self, record: Record, *, name_number: int) -> None:
        """Add a document whose source file has this number."""
        for turn in record.turns:
            self._text.append(turn.text)
            self._turns.append_number(2 * self._role(turn.role) + turn.learn)
        self.num_turns += len(record.turns)
        self.num_documents += 1
        self._first_turns.append_number(self.num_turns)
        self._ids.append(record.id)
        self._source.append_number(name_number)
        self._source.append_number(record.source[1])

    def append_run(
        self, shard: TextShard, first: int, last: int, *, names: Mapping[tuple[int, str], int]
    ) -> None:
        """Add documents `first` to `last` (exclusive) of another shard; `names` numbers the source files here."""
        begin, end = int(shard.first_turns[first]), int(shard.first_turns[last])
        self._text.append_texts(shard.text, begin, end)
        self._ids.append_texts(shard.ids, first, last)
        self._turns.append_array(self._turn_codes(shard, begin, end))
        first_turns = np.asarray(shard.first_turns[first + 1 : last + 1])
        self._first_turns.append_array(first_turns - np.uint64(begin) + np.uint64(self.num_turns))
        numbers = np.array([names[name] for name in shard.names], dtype=np.uint64)
        source = np.array(shard.source[first:last])
        source[:, 0] = numbers[source[:, 0]]
        self._source.append_array(source)
        self.num_turns += end - begin
        self.num_documents += last - first

    def _turn_codes(self, shard: TextShard, begin: int, end: int) -> NDArray[np.uint64]:
        """The codes of turns, with the role numbers of this writer."""
        codes = np.array(shard.turns[begin:end])
        numbers = np.array([self._role(role) for role in shard.roles], dtype=np.uint64)
        renumbered: NDArray[np.uint64] = 2 * numbers[codes // 2] + codes % 2
        return renumbered

    def _role(self, role: str) -> int:
        return self._roles.setdefault(role, len(self._roles))

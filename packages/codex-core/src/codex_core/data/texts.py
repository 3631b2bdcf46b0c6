"""Stage one of preparing: the kept documents of a plan, stored by split.

Decisions: one column per field, texts of turns back to back; source names are numbered in a file of their own.
Redaction happens before anything is stored: the store never holds what the policy took out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from codex_core.canonical import readable_json
from codex_core.contracts import Emit
from codex_core.data.columns import U64, ColumnWriter, TextColumn, TextColumnWriter, read_column, writing
from codex_core.data.intake import Intake, TextsPlan
from codex_core.data.sources import Source
from codex_core.data.splits import SPLITS
from codex_core.files import OS_FILES, Files
from codex_core.records import Record, Turn

FORMAT = "codex-texts/1"


class SplitWriter:
    """Writes the documents of one split: turn texts, roles, ids and sources, as columns; a context manager."""

    def __init__(self, folder: Path, split: str, *, roles: dict[str, int], files: Files) -> None:
        self.num_documents = self.num_turns = self.num_bytes = 0
        self._roles = roles
        self._text = TextColumnWriter(folder / f"{split}.text", files=files)
        self._ids = TextColumnWriter(folder / f"{split}.ids", files=files)
        self._turns = ColumnWriter(folder / f"{split}.turns", files=files)
        self._first_turns = ColumnWriter(folder / f"{split}.turns.idx", files=files)
        self._source = ColumnWriter(folder / f"{split}.source", files=files)
        self._stack = ExitStack()

    def __enter__(self) -> SplitWriter:
        with self._stack:
            for column in (self._text, self._ids, self._turns, self._first_turns, self._source):
                self._stack.enter_context(column)
            self._first_turns.append_number(0)
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def append(self, record: Record, *, name_number: int) -> None:
        """Add a document whose source file has this number."""
        for turn in record.turns:
            self.num_bytes += self._text.append(turn.text)
            role = self._roles.setdefault(turn.role, len(self._roles))
            self._turns.append_number(2 * role + turn.learn)
        self.num_turns += len(record.turns)
        self.num_documents += 1
        self._first_turns.append_number(self.num_turns)
        self._ids.append(record.id)
        self._source.append_number(name_number)
        self._source.append_number(record.source[1])


def write_texts(folder: Path, plan: TextsPlan, *, on_event: Emit, files: Files = OS_FILES) -> dict[str, Any]:
    """Fill an empty folder with the kept documents of all splits and `report.json`; returns the manifest."""
    intake = Intake(plan)
    names: dict[tuple[int, str], int] = {}
    roles: dict[str, int] = {}
    with ExitStack() as stack:
        writers = {
            split: stack.enter_context(SplitWriter(folder, split, roles=roles, files=files))
            for split in SPLITS
        }
        for number, split, record in intake.admitted(on_event):
            name = names.setdefault((number, record.source[0]), len(names))
            writers[split].append(record, name_number=name)
    splits = {
        split: {"documents": writer.num_documents, "bytes": writer.num_bytes}
        for split, writer in writers.items()
    }
    report = {"rows": intake.rows(), "safety": intake.safety(), "splits": splits}
    with writing(folder):
        files.write(folder / "report.json", readable_json(report).encode())
        files.write(folder / "names.json", readable_json([list(key) for key in names]).encode())
    return report | {
        "identity": plan.identity(),
        "roles": list(roles),
        "corpus": {
            "digest": "sha256:" + intake.corpus.hexdigest(),
            "bytes": sum(writer.num_bytes for writer in writers.values()),
            "documents": intake.kept.total(),
            "python": _python(plan.sources),
        },
    }


class TextShard:
    """The stored documents of one split, mapped for reading."""

    def __init__(
        self, folder: Path, split: str, *, roles: Sequence[str], names: Sequence[tuple[int, str]]
    ) -> None:
        self._roles = roles
        self._names = names
        self._text = TextColumn(folder / f"{split}.text")
        self._ids = TextColumn(folder / f"{split}.ids")
        self._turns = read_column(folder / f"{split}.turns", U64)
        self._first_turns = read_column(folder / f"{split}.turns.idx", U64)
        self._source = read_column(folder / f"{split}.source", U64).reshape(-1, 2)

    def __len__(self) -> int:
        return len(self._ids)

    def __iter__(self) -> Iterator[Record]:
        return (self[number] for number in range(len(self)))

    def __getitem__(self, number: int) -> Record:
        turns = range(int(self._first_turns[number]), int(self._first_turns[number + 1]))
        name, row = self._source[number]
        return Record(
            id=self._ids[number],
            turns=tuple(self._turn(turn) for turn in turns),
            source=(self._names[int(name)][1], int(row)),
        )

    def _turn(self, number: int) -> Turn:
        role, learn = divmod(int(self._turns[number]), 2)
        return Turn(self._roles[role], self._text[number], bool(learn))


class TurnTexts:
    """The texts of all turns of a split, as often as they are iterated: what tokenizers are trained on."""

    def __init__(self, shard: TextShard) -> None:
        self._shard = shard

    def __iter__(self) -> Iterator[str]:
        return (turn.text for record in self._shard for turn in record.turns)


def _python(sources: Sequence[Source]) -> str | None:
    """The Python version that a source's rows depend on, if any does."""
    return next((str(source.identity["python"]) for source in sources if "python" in source.identity), None)


def open_shard(folder: Path, manifest: Mapping[str, Any], split: str) -> TextShard:
    """The documents of `split` in a verified folder of texts."""
    names = [tuple(key) for key in json.loads((folder / "names.json").read_bytes())]
    return TextShard(folder, split, roles=manifest["roles"], names=names)

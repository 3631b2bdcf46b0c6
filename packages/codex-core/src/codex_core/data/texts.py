"""Stage one of preparing: the kept documents of a plan, stored by split.

Decisions: one column per field, texts of turns back to back; source names are numbered in a file of their own.
Redaction happens before anything is stored: the store never holds what the policy took out. Sources are compared
with their identity again after reading, so that a file that changes meanwhile is an error and not a mixture.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from codex_core.canonical import digest_of, readable_json
from codex_core.contracts import Emit
from codex_core.data.columns import U64, ColumnWriter, TextColumn, TextColumnWriter, read_column, writing
from codex_core.data.intake import Intake, Source, TextsPlan
from codex_core.data.splits import SPLITS
from codex_core.errors import InputError
from codex_core.events import ProgressMade
from codex_core.files import OS_FILES, Files
from codex_core.records import Record, Turn

FORMAT = "codex-texts/1"

_PROGRESS_ROWS = 1000


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
        for number, source, record in _checked_records(plan.sources):
            admitted = intake.admit(record)
            if admitted is not None:
                split, kept = admitted
                key = (number, kept.source[0])
                writers[split].append(kept, name_number=names.setdefault(key, len(names)))
            if intake.num_read % _PROGRESS_ROWS == 0:
                on_event(ProgressMade(phase="read", done=intake.num_read, detail=source.id))
    _refuse_empty(intake, writers)
    on_event(ProgressMade(phase="read", done=intake.num_read, total=intake.num_read))
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
            "documents": intake.num_kept,
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


def _checked_records(sources: Sequence[Source]) -> Iterator[tuple[int, Source, Record]]:
    """All records; raises `InputError` for text that is not Unicode and for inputs that change meanwhile."""
    for number, source in enumerate(sources):
        for record in source.dataset.records():
            for text in (record.id, record.group or "", *(turn.text for turn in record.turns)):
                _refuse_surrogates(text, record)
            yield number, source, record
        if digest_of(source.dataset.identity()) != digest_of(source.identity):
            raise InputError(
                code="DAT-010",
                what="the input changed while it was read",
                where=f"data.sources[{number}] ({source.id})",
                fix="run the command again when nothing writes to the input",
            )


def _refuse_surrogates(text: str, record: Record) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            code="DAT-003",
            what="expected Unicode text, found a lone surrogate",
            where="{}:{}".format(*record.source),
            why=f"U+{ord(text[error.start]):04X} at character {error.start} of {record.id!r}",
            fix="repair the row: no UTF-8 file can hold this character",
        ) from None


def _refuse_empty(intake: Intake, writers: Mapping[str, SplitWriter]) -> None:
    where = ", ".join(f"data.sources[{i}] ({source.id})" for i, source in enumerate(intake.plan.sources))
    if intake.num_kept == 0:
        dropped = ", ".join(f"{count} {reason}" for reason, count in sorted(intake.dropped.items()))
        raise InputError(
            code="DAT-002",
            what="the dataset is empty",
            where=where,
            why=f"{intake.num_read} rows were read, none was kept" + (f": {dropped}" if dropped else ""),
            fix="check the source, its options and the safety policy",
        )
    if writers["train"].num_documents == 0:
        raise InputError(
            code="DAT-007",
            what="the training split is empty",
            where=where,
            why=f"{intake.num_kept} documents were kept, and their groups or texts fell into other splits",
            fix="add documents, change data.split_seed, or set data.split=[1,0,0]",
        )


def _python(sources: Sequence[Source]) -> str | None:
    """The Python version that a source's rows depend on, if any does."""
    return next((str(source.identity["python"]) for source in sources if "python" in source.identity), None)


def open_shard(folder: Path, manifest: Mapping[str, Any], split: str) -> TextShard:
    """The documents of `split` in a verified folder of texts."""
    names = [tuple(key) for key in json.loads((folder / "names.json").read_bytes())]
    return TextShard(folder, split, roles=manifest["roles"], names=names)

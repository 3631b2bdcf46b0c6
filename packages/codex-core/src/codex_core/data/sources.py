"""The datasets of a plan, read with what every reader owes checked.

Decisions: text must be Unicode that UTF-8 can hold; a dataset is asked for its identity again after reading, so
that a file that changes meanwhile is an error and not a mixture.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from codex_core.canonical import digest_of
from codex_core.contracts import Dataset
from codex_core.errors import InputError
from codex_core.records import Record


@attrs.frozen(kw_only=True)
class Source:
    """A dataset of the plan, built: its canonical id and what its rows depend on.

    `recipe` is the class and the options that it was built from, so that another process can build it, too.
    """

    id: str
    dataset: Dataset
    identity: Mapping[str, Any]
    recipe: tuple[Any, Any] | None = None


def checked_records(sources: Sequence[Source]) -> Iterator[tuple[int, Source, Record]]:
    """All records; raises `InputError` for text that is not Unicode and for inputs that change meanwhile."""
    for number, source in enumerate(sources):
        for record in source.dataset.records():
            yield number, source, checked(record)
        refuse_changed(number, source)


def refuse_changed(number: int, source: Source) -> None:
    """Raise `InputError` when source `number` of the plan is not what it was before it was read."""
    if digest_of(source.dataset.identity()) != digest_of(source.identity):
        raise InputError(
            code="DAT-010",
            what="the input changed while it was read",
            where=f"data.sources[{number}] ({source.id})",
            fix="run the command again when nothing writes to the input",
        )


def checked(record: Record) -> Record:
    """The record, all of whose text is Unicode that UTF-8 can hold; raises `InputError` for any other."""
    name, row = record.source
    for text in (
        record.id,
        record.group or "",
        name,
        *(part for turn in record.turns for part in (turn.role, turn.text)),
    ):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InputError(
                code="DAT-003",
                what="expected Unicode text, found a lone surrogate",
                where=ascii(f"{name}:{row}")[1:-1],
                why=f"U+{ord(text[error.start]):04X} at character {error.start}",
                fix="repair the row: no UTF-8 file can hold this character",
            ) from None
    return record

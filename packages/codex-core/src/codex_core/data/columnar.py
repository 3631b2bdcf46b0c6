"""Rows of Arrow tables as records: what `parquet` and `hf-saved` share.

Decisions: values are read in batches of few rows and only from the columns that the form names; text that is no
UTF-8 is the fault of its row, as in a text file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from codex_core.data.faults import Account, RowFault
from codex_core.data.files import row_fields
from codex_core.data.forms import FORM_FIELDS, group_in, turns_of
from codex_core.data.inputs import InputFile
from codex_core.records import Record

BATCH_ROWS = 256


def columns_of(options: Any) -> list[str]:
    """The columns that the options name; of a conversation only the one that holds its messages."""
    form, fields = options.form, row_fields(options)
    known = FORM_FIELDS[form][:1] if form in ("messages", "sharegpt") else FORM_FIELDS[form]
    named = [fields.get(name, name) for name in known]
    return named if options.group is None else [*named, options.group]


def records_of(
    batches: Iterable[tuple[int, Any]], file: InputFile, options: Any, *, account: Account, place: str
) -> Iterator[Record]:
    """Records of record batches, each with the number of its first row."""
    turns = turns_of(options.form, fields=row_fields(options), learn=options.learn, place=place)
    for first, batch in batches:
        for number, row in enumerate(_rows(batch), first):
            try:
                if isinstance(row, RowFault):
                    raise row
                record = Record(
                    id=f"{file.name}:{number}",
                    turns=turns(row),
                    source=(file.name, number),
                    group=None if options.group is None else group_in(row, options.group),
                )
            except RowFault as fault:
                account.refuse(fault, file, number)
                continue
            yield record


def _rows(batch: Any) -> Iterator[Mapping[str, Any] | RowFault]:
    try:
        yield from batch.to_pylist()
        return
    except UnicodeDecodeError:
        pass  # one of the rows: they are looked at one by one
    for i in range(batch.num_rows):
        try:
            yield batch.slice(i, 1).to_pylist()[0]
        except UnicodeDecodeError as error:
            yield RowFault(
                "DAT-003",
                "not-utf-8",
                expected="UTF-8",
                found=f"other bytes at {error.start}",
                why=error.reason,
                fix="convert the texts to UTF-8 first",
            )

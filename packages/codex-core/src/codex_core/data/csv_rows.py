"""The dataset `csv`: rows under a header, read strictly.

Decisions: the standard library's parser in its strict mode; a field in quotes may hold line ends, and the number of
a row is the physical line on which it begins; every row has as many fields as the header. A table holds texts, so
the forms are those whose fields are texts. The parser's bound on a field is one for the whole process; it is raised
to `max_line_bytes` where it is lower, so that an open quote cannot take in a whole file.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import Any

from codex_core.data.faults import Account, RowFault
from codex_core.data.files import FileDataset, row_fields, row_settings
from codex_core.data.forms import group_in, turns_of
from codex_core.data.inputs import InputFile
from codex_core.data.jsonl import not_unicode
from codex_core.data.lines import lines
from codex_core.errors import InputError, UsageError
from codex_core.records import Part, Record

_FORMS = ("text", "prompt_completion", "instruction")


class CsvDataset(FileDataset):
    """Rows of CSV files as records; see `CsvOptions`."""

    reader = "csv/1"

    def settings(self) -> dict[str, Any]:
        """Form, fields, group and delimiter."""
        _refuse_nested(self.options.form)
        return row_settings(self.options, place="csv") | {"delimiter": self.options.delimiter}

    def rows(self, file: InputFile, part: Part | None) -> Iterator[Record]:
        """The rows of a file under its header."""
        options = self.options
        _refuse_nested(options.form)
        turns = turns_of(options.form, fields=row_fields(options), learn=options.learn, place="csv")
        table = _Table(file, options, self.account)
        header = table.header()
        for line, fields in table:
            try:
                if len(fields) != len(header):
                    raise _misfit(len(header), len(fields))
                row = dict(zip(header, fields, strict=True))
                record = Record(
                    id=f"{file.name}:{line}",
                    turns=turns(row),
                    source=(file.name, line),
                    group=None if options.group is None else group_in(row, options.group),
                )
            except RowFault as fault:
                self.account.refuse(fault, file, line)
                continue
            yield record


class _Table:
    """The rows of a CSV file with the lines on which they begin; faults go to the account."""

    def __init__(self, file: InputFile, options: Any, account: Account) -> None:
        csv.field_size_limit(max(csv.field_size_limit(), options.max_line_bytes))
        self._file, self._account = file, account
        self._source = _Lines(file, options, account)
        self._reader = csv.reader(self._source, delimiter=options.delimiter, strict=True)

    def header(self) -> list[str]:
        """The names of the columns; raises `InputError` when there is none or a name twice."""
        found = next(iter(self), None)
        if found is None:
            raise _bad_header(self._file, "an empty file")
        line, names = found
        if twice := next((name for i, name in enumerate(names) if name in names[:i]), None):
            raise _bad_header(self._file, f"{twice!r} twice in line {line}")
        return names

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        while True:
            line = self._source.number + 1
            try:
                fields = next(self._reader)
                if not fields:
                    raise _not_csv("empty-line", "an empty line")
            except StopIteration:
                return
            except csv.Error as error:
                self._account.refuse(_not_csv("not-csv", str(error)), self._file, line)
            except RowFault as fault:
                self._account.refuse(
                    fault, self._file, line if fault.code != "DAT-003" else self._source.number
                )
            else:
                yield line, fields


class _Lines:
    """Decoded physical lines; an object and no generator, so that reading goes on after a fault."""

    def __init__(self, file: InputFile, options: Any, account: Account) -> None:
        self.number = 0
        self._lines = lines(
            file,
            None,
            limit=options.max_line_bytes,
            max_expansion=options.max_expansion,
            account=account,
        )

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        self.number, data = next(self._lines)
        try:
            return data.decode() + "\n"
        except UnicodeDecodeError as error:
            raise not_unicode(data, error) from None


def _refuse_nested(form: str) -> None:
    if form not in _FORMS:
        raise UsageError(
            code="DAT-022",
            what=f"a CSV file cannot hold the form {form!r}",
            where="csv.form",
            why=f"its fields are texts; forms of texts are {', '.join(_FORMS)}",
            fix="store conversations as JSON Lines or Parquet",
        )


def _misfit(expected: int, found: int) -> RowFault:
    return RowFault(
        "DAT-004",
        "not-csv",
        expected=f"{expected} fields, as in the header",
        found=str(found),
        fix="put fields that hold the delimiter, quotes or line ends in double quotes",
    )


def _not_csv(reason: str, found: str) -> RowFault:
    return RowFault("DAT-004", reason, expected="one row of CSV", found=found, fix="repair the row")


def _bad_header(file: InputFile, found: str) -> InputError:
    return InputError(
        code="DAT-004",
        what=f"no header with a name for every column: {found}",
        where=file.at(1),
        fix="begin the file with one line of different names",
    )

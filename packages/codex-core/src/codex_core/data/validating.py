"""Reading everything once, to tell what is wrong with it.

Decisions: the rows pass the same code that prepares them, so the two cannot disagree; every fault is counted and the
first ones are kept; the digest runs over each accepted text's UTF-8 length (8 bytes, big-endian) and bytes, in
order, so that two machines can tell that they read the same rows.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from typing import Any

import attrs

from codex_core.contracts import Dataset
from codex_core.data.faults import Account, RowError
from codex_core.data.sources import checked
from codex_core.errors import InputError


@attrs.frozen(kw_only=True)
class Validation:
    """What was read, and what could not be: `errors` holds the first of `num_errors`."""

    rows: int
    skipped: Mapping[str, int]
    notes: Mapping[str, int]
    texts_sha256: str
    num_errors: int
    errors: tuple[Mapping[str, Any], ...]
    complete: bool

    def is_accepted(self, *, on_error: str, max_skip: int | None) -> bool:
        """Whether preparing with these options would read the input to its end."""
        if not self.complete:
            return False
        return self.num_errors == 0 or (
            on_error == "skip" and (max_skip is None or self.num_errors <= max_skip)
        )


def validate(dataset: Dataset, *, most: int) -> Validation:
    """Read all rows of a dataset that skips what is unreadable; keeps the first `most` faults.

    Raises `InputError` for an input that does not exist. Any other failure of the input as a whole is the last
    error of the list, and what follows it was not read.
    """
    found = _Found(most)
    account = getattr(dataset, "account", None)
    if isinstance(account, Account):
        account.listener = found.note
    complete = True
    try:
        for record in dataset.records():
            found.take([turn.text for turn in checked(record).turns])
    except InputError as error:
        if error.code == "DAT-001":
            raise
        complete = False
        found.note(error)
    return Validation(
        rows=found.rows,
        skipped=dict(sorted(found.reasons.items())),
        notes=dict(account.notes) if isinstance(account, Account) else {},
        texts_sha256=found.texts.hexdigest(),
        num_errors=found.num_errors,
        errors=tuple(found.errors),
        complete=complete,
    )


class _Found:
    """What a reading has come to so far."""

    def __init__(self, most: int) -> None:
        self.rows = self.num_errors = 0
        self.reasons: Counter[str] = Counter()
        self.errors: list[Mapping[str, Any]] = []
        self.texts = hashlib.sha256()
        self._most = most

    def take(self, texts: list[str]) -> None:
        self.rows += 1
        for text in texts:
            data = text.encode()
            self.texts.update(len(data).to_bytes(8, "big") + data)

    def note(self, error: InputError) -> None:
        self.num_errors += 1
        if isinstance(error, RowError):
            self.reasons[error.reason] += 1
        if len(self.errors) < self._most:
            self.errors.append(as_plain(error))


def as_plain(error: InputError) -> dict[str, Any]:
    """An error as plain values; one of the whole input has no line and says in `found` what is wrong."""
    if isinstance(error, RowError):
        place = {"file": error.file, "line": error.line, "field": error.field}
        return {**place, "expected": error.expected, "found": error.found, "code": error.code}
    return {
        "file": error.where,
        "line": None,
        "field": None,
        "expected": "an input that can be read to its end",
        "found": error.what,
        "code": error.code,
    }

"""What every dataset must do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from codex_core.canonical import canonical_json
from codex_core.contracts import Dataset
from codex_core.errors import InputError
from codex_core.records import Record
from codex_core.testing.claims import claim


def check_dataset(
    cls: Callable[[Any], Dataset], options: Any, *, most: int | None = None, refused: Sequence[Any] = ()
) -> None:
    """Read all rows (the first `most` of large sources) twice, from two objects, and compare.

    `refused` are options that lead to unreadable rows: reading them must raise `InputError` that says where.
    """
    dataset, other = cls(options), cls(options)
    claim(isinstance(dataset, Dataset), "the target's objects lack a member of contracts.Dataset")
    identity = dataset.identity()
    claim(canonical_json(identity) == canonical_json(other.identity()), "two objects give two identities")
    for path, value in _leaves(identity):
        claim(not isinstance(value, float), f"identity holds a float at {path}")
        claim(not _is_absolute(value), f"identity holds an absolute path at {path}")
    ids: set[str] = set()
    for number, (record, same) in enumerate(
        zip(_records(dataset, most), _records(dataset, most), strict=True), 1
    ):
        claim(record == same, f"row {number} differs when the dataset is read again")
        _check_record(record, number)
        claim(record.id not in ids, f"row {number} repeats the id {record.id!r}")
        ids.add(record.id)
    claim(bool(ids), "the dataset has no row")
    claim(canonical_json(dataset.identity()) == canonical_json(identity), "reading changes the identity")
    for unreadable in refused:
        _check_refusal(cls, unreadable)


def _check_refusal(cls: Callable[[Any], Dataset], options: Any) -> None:
    try:
        rows = sum(1 for _ in cls(options).records())
    except InputError as error:
        claim(bool(error.where), f"the refusal does not say where the row is: {error.what}")
    except Exception as error:  # a component may raise anything; it becomes the finding
        raise AssertionError(
            f"an unreadable row must raise InputError, but got {type(error).__name__}: {error}"
        ) from error
    else:
        raise AssertionError(
            f"an unreadable row must raise InputError, but {rows} rows were read from {options}"
        )


def _records(dataset: Dataset, most: int | None) -> Iterator[Record]:
    for number, record in enumerate(dataset.records()):
        if number == most:
            return
        yield record


def _check_record(record: Record, number: int) -> None:
    claim(isinstance(record, Record), f"row {number} is no Record")
    claim(isinstance(record.id, str) and bool(record.id), f"row {number} has no id")
    claim(bool(record.turns), f"row {number} has no turn")
    claim(all(isinstance(turn.text, str) for turn in record.turns), f"row {number} holds a turn without text")
    file, row = record.source
    claim(
        not _is_absolute(file) and "\\" not in file,
        f"row {number} names its source {file!r}, no relative path",
    )
    claim(row >= 1, f"row {number} counts its place in the source from {row}, not from 1")


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, held in value.items():
            yield from _leaves(held, f"{path}.{key}")
    elif isinstance(value, (list, tuple)):
        for place, held in enumerate(value):
            yield from _leaves(held, f"{path}[{place}]")
    else:
        yield path, value


def _is_absolute(value: Any) -> bool:
    return isinstance(value, str) and (value.startswith("/") or value[1:3] in (":\\", ":/"))

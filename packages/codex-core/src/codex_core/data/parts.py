"""Reading a dataset in parts, whatever it offers.

Decision: a dataset that cannot be read in parts is one part that stands for everything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from codex_core.contracts import Dataset, PartedDataset, SkippingDataset
from codex_core.data.faults import refuse_beyond
from codex_core.records import Part, Record

#: The part of a dataset that has no parts.
EVERYTHING = Part(file="", start=0, end=0)


def parts_of(dataset: Dataset, part_bytes: int) -> Sequence[Part]:
    """All rows as parts of about `part_bytes`, in reading order."""
    return dataset.parts(part_bytes) if isinstance(dataset, PartedDataset) else (EVERYTHING,)


def read_part(dataset: Dataset, part: Part) -> Iterator[Record]:
    """The rows of one part."""
    if part == EVERYTHING:
        return dataset.records()
    assert isinstance(dataset, PartedDataset), "only a dataset that offers parts was asked for some"
    return dataset.read(part)


def skipped_of(dataset: Dataset) -> Mapping[str, int]:
    """Rows skipped by reason in the latest reading; nothing where the dataset does not skip."""
    return dataset.skipped() if isinstance(dataset, SkippingDataset) else {}


def refuse_too_many(dataset: Dataset, skipped: Mapping[str, int]) -> None:
    """Raise `InputError` when the parts of a dataset skipped more rows together than it allows."""
    refuse_beyond(getattr(getattr(dataset, "options", None), "max_skip", None), skipped)

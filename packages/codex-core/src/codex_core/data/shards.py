"""Token shards: ids, masks and offsets of documents, in files of a size that can be moved about.

Decisions: the first shard of a split has the split's name, the others a number behind it; a shard ends at the border
of a document, at the first that would make its ids larger than the target (a larger document has a shard of its own);
so the documents alone decide, not the pieces in which they arrive.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from codex_core.canonical import file_digest
from codex_core.data.columns import ColumnWriter
from codex_core.data.token_parts import Batch
from codex_core.files import Files

#: Bytes of ids in a shard.
SHARD_BYTES = 256 << 20


class ShardWriter:
    """Writes the shards of one split; a context manager. `shards` describes those that are finished."""

    def __init__(self, folder: Path, split: str, *, most_bytes: int, dtype: str, files: Files) -> None:
        self.shards: list[dict[str, Any]] = []
        self.num_documents = 0
        self._folder = folder
        self._split = split
        self._dtype = np.dtype(dtype).newbyteorder("<")
        self._most_tokens = most_bytes // self._dtype.itemsize
        self._files = files
        self._num_tokens = 0
        self._stack = ExitStack()

    def __enter__(self) -> ShardWriter:
        self._open()
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)
        if error[0] is None:
            self._describe()

    def append(self, batch: Batch) -> None:
        """Add documents."""
        ends = np.cumsum(batch.lengths)
        first, begin = 0, 0
        while first < len(ends):
            room = self._most_tokens - self._tokens_here
            stop = int(np.searchsorted(ends, begin + room, side="right"))
            if stop == first and self._documents_here:
                self._stack.close()
                self._describe()
                self._open()
                continue
            stop = max(stop, first + 1)
            end = int(ends[stop - 1])
            self._ids.append_array(batch.ids[begin:end], self._dtype)
            self._loss_mask.append_array(batch.loss_mask[begin:end], np.uint8)
            self._offsets.append_array(ends[first:stop] - begin + self._tokens_here)
            self._tokens_here += end - begin
            self._documents_here += stop - first
            self._supervised_here += int(batch.loss_mask[begin:end].sum())
            first, begin = stop, end

    def _open(self) -> None:
        number = len(self.shards)
        self._name = f"{self._split}-{number:05d}" if number else self._split
        self._documents_here = self._tokens_here = self._supervised_here = 0
        with ExitStack() as stack:
            self._ids, self._loss_mask, self._offsets = (
                stack.enter_context(ColumnWriter(self._folder / f"{self._name}.{name}", files=self._files))
                for name in ("tok", "msk", "idx")
            )
            self._offsets.append_number(0)
            self._stack = stack.pop_all()

    def _describe(self) -> None:
        self.shards.append(
            {
                "name": self._name,
                "split": self._split,
                "first_document": self.num_documents,
                "first_token": self._num_tokens,
                "documents": self._documents_here,
                "tokens": self._tokens_here,
                "supervised": self._supervised_here,
                "digest": file_digest(self._folder / f"{self._name}.tok", "blake3"),
            }
        )
        self.num_documents += self._documents_here
        self._num_tokens += self._tokens_here

"""Documents rendered and encoded, a stretch at a time: what processes and machines share the work by.

Decisions: plain texts go through the tokenizer's `encode_many_flat` where it has one, some hundred kilobytes at once,
because the rendering of a plain text is fixed by contract (BOS, ids, EOS); everything else is rendered one by one;
every document is checked against the rendering contract (BOS first and not supervised, ids in the vocabulary,
something supervised), because a training run on wrong masks looks healthy.

Shapes: n documents, N ids.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from codex_core.contracts import Tokenizer
from codex_core.data.columns import U64, ColumnWriter, read_column
from codex_core.data.documents import TextShard
from codex_core.errors import InputError
from codex_core.files import Files
from codex_core.records import Encoded, Record

FORMAT = "codex-token-part/1"

#: Text that is encoded at once.
_BATCH_BYTES = 512 << 10

_MOST_BATCH_DOCUMENTS = 4096


@attrs.frozen(kw_only=True, eq=False)
class Batch:
    """Encoded documents back to back: ids and loss mask (N), ids per document (n)."""

    ids: NDArray[Any]
    loss_mask: NDArray[np.uint8]
    lengths: NDArray[np.int64]


@attrs.frozen(kw_only=True)
class Renderer:
    """A tokenizer, its canonical id for messages, and the type of stored ids."""

    id: str
    tokenizer: Tokenizer
    dtype: str

    def batches(self, shard: TextShard, first: int, last: int) -> Iterator[Batch]:
        """Documents `first` to `last` (exclusive) of a shard, encoded."""
        bytes_before = shard.first_bytes().astype(np.int64)
        is_first = True
        while first < last:
            stop = int(np.searchsorted(bytes_before, bytes_before[first] + _BATCH_BYTES, side="right")) - 1
            stop = min(max(stop, first + 1), first + _MOST_BATCH_DOCUMENTS, last)
            yield self._batch(shard, first, stop, compared=is_first)
            first, is_first = stop, False

    def _batch(self, shard: TextShard, first: int, last: int, *, compared: bool) -> Batch:
        """One batch; if `compared`, its first document is rendered, too, and must come out alike."""
        encode = self._encode_many()
        begin, end = int(shard.first_turns[first]), int(shard.first_turns[last])
        if encode is not None and end - begin == last - first:
            codes = np.asarray(shard.turns[begin:end])
            if all(shard.roles[role] == "text" for role in np.unique(codes // 2).tolist()):
                ids, lengths = encode([shard.text[turn] for turn in range(begin, end)])
                batch = self._flat(ids, lengths, learn=(codes % 2).astype(np.uint8))
                if compared:
                    self._compare(batch, shard[first])
                return batch
        return self._rendered([shard[number] for number in range(first, last)])

    def _encode_many(self) -> Callable[[list[str]], tuple[NDArray[Any], NDArray[np.int64]]] | None:
        """`encode_many_flat`, unless a class below the one that defines it renders in a way of its own."""
        classes = type(self.tokenizer).__mro__
        owners = {
            name: next((number for number, cls in enumerate(classes) if name in vars(cls)), len(classes))
            for name in ("encode_many_flat", "render")
        }
        if owners["encode_many_flat"] > owners["render"]:
            return None
        return getattr(self.tokenizer, "encode_many_flat", None)

    def _compare(self, batch: Batch, record: Record) -> None:
        """Raise `InputError` when the first document of a batch is rendered in another way."""
        encoded = self._checked(record)
        num_ids = int(batch.lengths[0])
        if (*batch.ids[:num_ids].tolist(),) != encoded.ids or (
            batch.loss_mask[:num_ids].tolist() != list(encoded.loss_mask)
        ):
            why = "encode_many_flat and render do not give the same ids"
            raise self._broken(why, where="{}:{} ({})".format(*record.source, record.id))

    def _flat(self, ids: NDArray[Any], lengths: NDArray[np.int64], *, learn: NDArray[np.uint8]) -> Batch:
        """Put BOS before and EOS behind the ids of each text."""
        special = self.tokenizer.special_ids
        if len(ids) and int(ids.max()) >= self.tokenizer.vocab_size:
            raise self._broken("an id is outside the vocabulary", where="encode_many_flat")
        lengths = np.asarray(lengths, dtype=np.int64) + 2
        ends = np.cumsum(lengths)
        starts = ends - lengths
        is_text = np.ones(int(ends[-1]), dtype=bool)
        is_text[starts] = is_text[ends - 1] = False
        held = np.empty(len(is_text), dtype=np.dtype(self.dtype).newbyteorder("<"))
        held[is_text] = ids
        held[starts], held[ends - 1] = special["bos"], special["eos"]
        loss_mask = np.repeat(learn, lengths)
        loss_mask[starts] = 0
        return Batch(ids=held, loss_mask=loss_mask, lengths=lengths)

    def _rendered(self, records: Sequence[Record]) -> Batch:
        encoded = [self._checked(record) for record in records]
        return Batch(
            ids=np.concatenate(
                [np.array(one.ids, dtype=np.dtype(self.dtype).newbyteorder("<")) for one in encoded]
            ),
            loss_mask=np.concatenate([np.array(one.loss_mask, dtype=np.uint8) for one in encoded]),
            lengths=np.array([len(one.ids) for one in encoded], dtype=np.int64),
        )

    def _checked(self, record: Record) -> Encoded:
        """The rendering of a record; raises `InputError` for one that cannot be trained on."""
        encoded = self.tokenizer.render(record)
        ids, mask = encoded.ids, encoded.loss_mask
        if len(ids) < 2 or ids[0] != self.tokenizer.special_ids["bos"] or mask[0]:
            why = "it does not start with BOS, unsupervised, and something after it"
        elif not 0 <= min(ids) <= max(ids) < self.tokenizer.vocab_size:
            why = f"an id is outside the vocabulary of {self.tokenizer.vocab_size}"
        elif not any(mask):
            why = "no token of it is supervised"
        else:
            return encoded
        raise self._broken(why, where="{}:{} ({})".format(*record.source, record.id))

    def _broken(self, why: str, *, where: str) -> InputError:
        return InputError(
            code="DAT-014",
            what=f"{self.id} rendered a document into something that cannot be trained on",
            where=where,
            why=why,
            fix="choose another tokenizer, or report this to the distribution that ships it",
        )


@attrs.frozen
class Stretch:
    """Documents `first` to `last` (exclusive) of a split of a folder of texts."""

    split: str
    first: int
    last: int


def stretches(shard: TextShard, split: str, *, most_bytes: int) -> list[Stretch]:
    """All documents of a split, cut into stretches of about so many bytes of text."""
    bytes_before = shard.first_bytes().astype(np.int64)
    found = []
    first = 0
    while first < len(shard):
        stop = int(np.searchsorted(bytes_before, bytes_before[first] + most_bytes, side="left"))
        stop = min(max(stop, first + 1), len(shard))
        found.append(Stretch(split, first, stop))
        first = stop
    return found


def write_token_part(
    folder: Path, shards: Sequence[tuple[TextShard, Stretch]], renderer: Renderer, *, files: Files
) -> dict[str, Any]:
    """Encode stretches into an empty folder, at most one per split; returns the manifest."""
    counts = {}
    for shard, stretch in shards:
        num_tokens = 0
        with ExitStack() as stack:
            ids, loss_mask, lengths = (
                stack.enter_context(ColumnWriter(folder / f"{stretch.split}.{name}", files=files))
                for name in ("tok", "msk", "len")
            )
            for batch in renderer.batches(shard, stretch.first, stretch.last):
                ids.append_array(batch.ids, renderer.dtype)
                loss_mask.append_array(batch.loss_mask, np.uint8)
                lengths.append_array(batch.lengths)
                num_tokens += len(batch.ids)
        counts[stretch.split] = {"documents": stretch.last - stretch.first, "tokens": num_tokens}
    return {"dtype": renderer.dtype, "splits": counts}


def read_batch(folder: Path, split: str, *, dtype: str, first: int = 0, last: int | None = None) -> Batch:
    """Documents `first` to `last` (exclusive; by default all) of a stored part, mapped."""
    lengths = read_column(folder / f"{split}.len", U64).astype(np.int64)
    last = len(lengths) if last is None else last
    ends = np.cumsum(lengths)
    begin = int(ends[first - 1]) if first else 0
    end = int(ends[last - 1]) if last else 0
    return Batch(
        ids=read_column(folder / f"{split}.tok", dtype)[begin:end],
        loss_mask=read_column(folder / f"{split}.msk", np.uint8)[begin:end],
        lengths=lengths[first:last],
    )

"""Documents encoded many at a time, and one by one."""

from __future__ import annotations

import numpy as np
import pytest

from codex_core.data.bytes_tokenizer import BytesTokenizer
from codex_core.data.documents import DocumentWriter, TextShard
from codex_core.data.token_parts import Renderer, stretches
from codex_core.errors import InputError
from codex_core.records import Record, Turn, plain_text


def shard_of(folder, records):
    """Documents as they are stored."""
    roles: dict[str, int] = {}
    with DocumentWriter(folder, "train", roles=roles) as writer:
        for record in records:
            writer.append(record, name_number=0)
    return TextShard(folder, "train", roles=list(roles), names=[(0, "rows")])


def renderer(tokenizer):
    return Renderer(id="tests/bytes", tokenizer=tokenizer, dtype="uint16")


def encoded(shard, tokenizer):
    """Ids and masks of all documents, as lists."""
    found = []
    for batch in renderer(tokenizer).batches(shard, 0, len(shard)):
        ends = np.cumsum(batch.lengths)
        for end, length in zip(ends.tolist(), batch.lengths.tolist(), strict=True):
            found.append(
                (batch.ids[end - length : end].tolist(), batch.loss_mask[end - length : end].tolist())
            )
    return found


class OneByOne(BytesTokenizer):
    """Renders by itself, so the many-at-a-time method of its parent does not speak for it."""

    def render(self, record, template=None):
        """Everything in capitals."""
        return super().render(plain_text(record.text.upper(), id=record.id, source=record.source), template)


class Lying(BytesTokenizer):
    """Encodes many texts in another way than one."""

    def render(self, record, template=None):
        """As its parent does."""
        return super().render(record, template)

    def encode_many_flat(self, texts):
        """One id too few for each text."""
        return super().encode_many_flat([text[1:] for text in texts])


TEXTS = [plain_text("ab" * number + "é", id=f"{number}", source=("rows", number)) for number in range(1, 40)]
TALK = Record(id="talk", turns=(Turn("user", "a", learn=False), Turn("assistant", "b")), source=("rows", 99))


def test_many_at_a_time_gives_what_one_by_one_gives(tmp_path, monkeypatch):
    """Plain texts, conversations and both: each document is its rendering, whatever the size of a batch."""
    for number, records in enumerate((TEXTS, [TALK, TALK], [*TEXTS, TALK, *TEXTS])):
        (tmp_path / str(number)).mkdir()
        shard = shard_of(tmp_path / str(number), records)
        expected = [BytesTokenizer().render(record) for record in records]
        for size in (1, 100, 1 << 20):
            monkeypatch.setattr("codex_core.data.token_parts._BATCH_BYTES", size)
            assert encoded(shard, BytesTokenizer()) == [
                (list(one.ids), [int(learn) for learn in one.loss_mask]) for one in expected
            ]


def test_a_rendering_of_its_own_is_used(tmp_path):
    """A class that renders differently from the one that offers many at a time is asked one by one."""
    shard = shard_of(tmp_path, TEXTS)

    assert encoded(shard, OneByOne()) != encoded(shard, BytesTokenizer())
    assert encoded(shard, OneByOne())[0][0] == list(OneByOne().render(TEXTS[0]).ids)


def test_two_ways_that_differ_are_refused(tmp_path):
    """A tokenizer whose two ways give different ids is found at the first document of a stretch."""
    with pytest.raises(InputError, match="cannot be trained on") as caught:
        encoded(shard_of(tmp_path, TEXTS), Lying())

    assert caught.value.code == "DAT-014"
    assert "rows:1" in caught.value.where


@pytest.mark.parametrize("most", [1, 50, 10**9])
def test_stretches_hold_every_document_once(tmp_path, most):
    """Cut finely or not at all, the stretches lie end to end."""
    shard = shard_of(tmp_path, TEXTS)
    found = stretches(shard, "train", most_bytes=most)

    assert [number for one in found for number in range(one.first, one.last)] == list(range(len(TEXTS)))
    assert (len(found) == 1) == (most == 10**9)

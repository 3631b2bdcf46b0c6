"""Rows cut from documents."""

from __future__ import annotations

import numpy as np
import pytest

from codex_core.contracts import PackedRows
from codex_core.data.packing import ShuffledRows, TokenColumns, count_supervised, gather, plan_rows
from codex_core.errors import UsageError

LENGTH = 4


def columns(*documents: list[int], unsupervised: int = -1) -> TokenColumns:
    """Documents as stored: the first id of each and the id `unsupervised` are not learned."""
    ids = np.array([id for document in documents for id in document], dtype=np.uint16)
    offsets = np.cumsum([0, *map(len, documents)]).astype(np.uint64)
    mask = (ids != unsupervised).astype(np.uint8)
    mask[offsets[:-1].astype(int)] = 0
    return TokenColumns(ids=ids, loss_mask=mask, offsets=offsets)


@pytest.fixture
def tokens() -> TokenColumns:
    """Documents of 4, 2 and 6 ids: 3 + 1 + 5 pairs."""
    return columns([90, 1, 2, 91], [90, 91], [90, 3, 4, 5, 6, 91], unsupervised=4)


def test_concat_lays_pairs_end_to_end(tokens):
    """A row holds consecutive pairs; pieces are numbered, positions restart, the last row is padded."""
    plan = plan_rows(tokens.offsets, seq_len=LENGTH, packing="concat")
    batch = gather(np.arange(plan.num_rows), plan, tokens)

    assert batch.inputs.tolist() == [[90, 1, 2, 90], [90, 3, 4, 5], [6, 0, 0, 0]]
    assert batch.targets.tolist() == [[1, 2, 91, 91], [3, 4, 5, 6], [91, 0, 0, 0]]
    assert batch.loss_mask.tolist() == [[True] * 4, [True, False, True, True], [True, False, False, False]]
    assert batch.positions.tolist() == [[0, 1, 2, 0], [0, 1, 2, 3], [0, 0, 0, 0]]
    assert batch.document_ids.tolist() == [[0, 0, 0, 1], [0, 0, 0, 0], [0, -1, -1, -1]]
    assert count_supervised(plan, tokens, block=2).tolist() == [4, 3, 1]


def test_arrays_have_the_types_of_the_contract(tokens):
    """Ids, positions and piece numbers are int64, the mask is boolean, all of shape (R, L)."""
    plan = plan_rows(tokens.offsets, seq_len=LENGTH, packing="concat")
    batch = gather(np.array([2, 0]), plan, tokens)

    for values in (batch.inputs, batch.targets, batch.positions, batch.document_ids):
        assert (values.dtype, values.shape) == (np.int64, (2, LENGTH))
    assert (batch.loss_mask.dtype, batch.loss_mask.shape) == (np.bool_, (2, LENGTH))


def test_rows_come_in_the_order_of_the_seed(tokens):
    """Every epoch holds each row once; the denominator is that of the very rows."""
    plan = plan_rows(tokens.offsets, seq_len=LENGTH, packing="concat")
    rows = ShuffledRows(plan=plan, tokens=tokens, supervised=count_supervised(plan, tokens), seed=3)

    assert isinstance(rows, PackedRows)
    assert (rows.num_rows, rows.seq_len) == (3, LENGTH)
    for start in (0, 3, 6):
        epoch = rows.rows(start, 3)
        assert sorted(epoch.inputs[:, 0].tolist()) == [6, 90, 90]
    across = rows.rows(2, 5)
    assert rows.num_supervised(2, 5) == across.loss_mask.sum()
    assert np.array_equal(across.inputs[1:4], rows.rows(3, 3).inputs)


def test_no_documents_give_no_rows():
    """An empty split has zero rows, not one of padding."""
    plan = plan_rows(np.array([0], dtype=np.uint64), seq_len=LENGTH, packing="concat")

    assert plan.num_rows == 0
    assert len(plan.document) == 0


def test_unknown_packing_is_refused(tokens):
    """A packing that does not exist is a usage error naming those that do."""
    with pytest.raises(UsageError, match="fit") as caught:
        plan_rows(tokens.offsets, seq_len=LENGTH, packing="fit")

    assert caught.value.code == "DAT-009"
    assert "concat" in str(caught.value)

"""Documents that are left out lose their supervision from a row on, and nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_core.contracts import PackedRows
from codex_core.data.leaving_out import RowsWithout, documents_of, learned_documents, numbers_of
from codex_core.data.packing import ShuffledRows, TokenColumns, count_supervised, plan_rows

SEQ_LEN = 6


def rows_of(lengths, *, seed=3):
    """The rows of documents of these lengths, whose ids name document and place."""
    ids = np.concatenate([100 * number + np.arange(length) for number, length in enumerate(lengths)])
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    mask = np.ones(len(ids), dtype=np.uint8)
    mask[offsets[:-1]] = 0
    tokens = TokenColumns(ids=ids, loss_mask=mask, offsets=offsets)
    plan = plan_rows(offsets, seq_len=SEQ_LEN, packing="concat")
    return ShuffledRows(plan=plan, tokens=tokens, supervised=count_supervised(plan, tokens), seed=seed)


@given(
    lengths=st.lists(st.integers(2, 15), min_size=2, max_size=12),
    without=st.dictionaries(st.integers(0, 11), st.integers(0, 20), min_size=1, max_size=4),
    start=st.integers(0, 12),
    count=st.integers(1, 9),
)
def test_only_the_supervision_of_left_out_documents_goes(lengths, without, start, count):
    """Per token: supervised as before, unless its document is left out from its row's position on."""
    rows = rows_of(lengths)
    left = RowsWithout(rows, {number: since for number, since in without.items() if number < len(lengths)})

    before, after = rows.rows(start, count), left.rows(start, count)

    for name in ("inputs", "targets", "positions", "document_ids"):
        assert np.array_equal(getattr(before, name), getattr(after, name))
    document = after.targets // 100
    position = np.arange(start, start + count)[:, None]
    goes = np.zeros_like(before.loss_mask)
    for number, since in without.items():
        goes |= (document == number) & (position >= since)
    assert np.array_equal(after.loss_mask, before.loss_mask & ~goes)
    assert left.num_supervised(start, count) == after.loss_mask.sum()
    assert left.left_out(start, count) == (before.loss_mask & goes).sum()
    assert (left.num_rows, left.seq_len) == (rows.num_rows, rows.seq_len)


def test_rows_without_documents_keep_the_contract():
    """They are packed rows like any other."""
    assert isinstance(RowsWithout(rows_of([5, 9]), {1: 0}), PackedRows)


def test_documents_of_rows_are_those_that_the_tokens_come_from():
    """The number of each token's document, -1 for padding."""
    rows = rows_of([4, 9, 3])
    batch = rows.rows(0, rows.num_rows)

    document = documents_of(rows, batch, 0)

    held = batch.document_ids >= 0
    assert np.array_equal(document[held], batch.targets[held] // 100)
    assert set(document[~held].tolist()) <= {-1}


def test_rows_name_their_documents_where_ids_are_at_hand():
    """The ids of all documents of the named rows, in stored order; none are made up without ids."""
    plain = rows_of([4, 9, 3, 8])
    named = ShuffledRows(
        plan=plain.plan, tokens=[], supervised=plain.supervised, seed=plain.seed, ids=lambda: "abcd"
    )

    for start in range(plain.num_rows):
        batch = plain.rows(start, 1)
        held = batch.document_ids >= 0
        assert named.documents(start, 1) == sorted({"abcd"[id // 100] for id in batch.inputs[held].tolist()})
    assert named.documents(0, plain.num_rows) == list("abcd")
    assert RowsWithout(named, {1: 0}).documents(0, plain.num_rows) == list("abcd")
    assert plain.documents(0, plain.num_rows) == []


def test_learned_documents_are_those_of_the_named_rows():
    """Each document with a supervised token in these rows, once, in stored order."""
    rows = rows_of([4, 9, 3, 8])
    batch = rows.rows(1, 1)

    assert learned_documents(rows, [1]) == sorted(set((batch.targets[batch.loss_mask] // 100).tolist()))
    assert learned_documents(rows, range(rows.num_rows)) == [0, 1, 2, 3]


@pytest.mark.parametrize(("wanted", "found"), [(["b"], {"b": 1}), (["c", "x"], {"c": 2}), ([], {})])
def test_numbers_of_ids_are_their_places(wanted, found):
    """What is not among the ids is not in the answer."""
    assert numbers_of(wanted, ["a", "b", "c"]) == found

"""Order, packing and splits, on whatever Hypothesis finds."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest

pytest.importorskip("hypothesis")
from hypothesis import given
from hypothesis import strategies as st

from codex_core.data.order import rows_at
from codex_core.data.packing import ShuffledRows, TokenColumns, count_supervised, gather, plan_rows
from codex_core.data.splits import SPLITS, splitter

SEEDS = st.integers(0, 2**63 - 1)

#: Documents of two or more ids, each id with its loss mask; the first of a document is never learned.
DOCUMENTS = st.lists(
    st.lists(st.tuples(st.integers(0, 65_535), st.booleans()), min_size=2, max_size=40),
    min_size=1,
    max_size=20,
)


def columns(documents) -> TokenColumns:
    """Documents as they are stored."""
    mask = [learn and place > 0 for document in documents for place, (_, learn) in enumerate(document)]
    return TokenColumns(
        ids=np.array([id for document in documents for id, _ in document], dtype=np.uint16),
        loss_mask=np.array(mask, dtype=np.uint8),
        offsets=np.cumsum([0, *map(len, documents)]).astype(np.uint64),
    )


@given(num_rows=st.integers(1, 2000), seed=SEEDS, epoch=st.integers(0, 1000))
def test_every_epoch_is_a_permutation(num_rows, seed, epoch):
    """Each row occurs once per epoch, for any number of rows, seed and epoch."""
    rows = rows_at(epoch * num_rows, num_rows, num_rows=num_rows, seed=seed)

    assert np.array_equal(np.sort(rows), np.arange(num_rows))


@given(data=st.data(), num_rows=st.integers(1, 50), seed=SEEDS)
def test_any_history_of_batches_is_the_same_order(data, num_rows, seed):
    """However positions are cut into batches, with stops in between, they give the unbroken order."""
    sizes = data.draw(st.lists(st.integers(0, 3 * num_rows), max_size=8))
    parts = []
    position = 0
    for size in sizes:
        parts.extend(rows_at(position, size, num_rows=num_rows, seed=seed).tolist())
        position += size

    assert parts == rows_at(0, position, num_rows=num_rows, seed=seed).tolist()
    counts = Counter(parts[: position - position % num_rows])
    assert set(counts.values()) <= {position // num_rows}


@given(
    documents=DOCUMENTS,
    seq_len=st.integers(1, 50),
    seed=SEEDS,
    packing=st.sampled_from(("concat", "fit", "none")),
)
def test_packing_keeps_every_pair_once(documents, seq_len, seed, packing):
    """An epoch of packed rows holds each (input, target, learned) pair of the documents exactly once."""
    tokens = columns(documents)
    plan = plan_rows(tokens.offsets, seq_len=seq_len, packing=packing)
    rows = ShuffledRows(plan=plan, tokens=tokens, supervised=count_supervised(plan, tokens), seed=seed)
    batch = rows.rows(0, rows.num_rows)
    real = batch.document_ids >= 0
    found = Counter(
        zip(
            batch.inputs[real].tolist(),
            batch.targets[real].tolist(),
            batch.loss_mask[real].tolist(),
            strict=True,
        )
    )

    assert found == Counter(
        (one[0], two[0], two[1]) for document in documents for one, two in itertools.pairwise(document)
    )
    assert not batch.loss_mask[~real].any()
    assert packing != "concat" or (~real).sum() < seq_len
    assert rows.num_supervised(0, rows.num_rows) == batch.loss_mask.sum()


@given(documents=DOCUMENTS, seq_len=st.integers(1, 50))
def test_packing_can_be_undone(documents, seq_len):
    """Rows in planned order, joined, are the documents: positions count up and restart where pieces begin."""
    tokens = columns(documents)
    plan = plan_rows(tokens.offsets, seq_len=seq_len, packing="concat")
    batch = gather(np.arange(plan.num_rows), plan, tokens)
    real = batch.document_ids >= 0

    assert batch.inputs[real].tolist() == [id for document in documents for id, _ in document[:-1]]
    for positions, pieces in zip(batch.positions, batch.document_ids, strict=True):
        pieces = pieces[pieces >= 0]
        lengths = np.bincount(pieces)
        assert (lengths > 0).all()
        assert positions[: len(pieces)].tolist() == [place for length in lengths for place in range(length)]


@given(
    lengths=st.lists(st.integers(2, 120), min_size=1, max_size=60),
    seq_len=st.integers(1, 64),
    packing=st.sampled_from(("fit", "none")),
)
def test_documents_that_fit_are_never_cut(lengths, seq_len, packing):
    """Only a document longer than a row has several pieces: full rows of its own, and one rest."""
    plan = plan_rows(np.cumsum([0, *lengths]), seq_len=seq_len, packing=packing)
    per_row = np.diff(plan.first_piece)
    row = np.repeat(np.arange(plan.num_rows), per_row)
    assert (np.bincount(row, weights=plan.length) <= seq_len).all()
    assert (per_row > 0).all()
    if packing == "none":
        assert (per_row == 1).all()
    for document, length in enumerate(lengths):
        pieces = plan.document == document
        assert sorted(plan.start[pieces].tolist()) == list(range(0, length - 1, seq_len))
        full = pieces & (plan.length == seq_len)
        assert (pieces & ~full).sum() <= 1
        assert (per_row[row[full]] == 1).all()


@given(lengths=st.lists(st.integers(2, 60), min_size=1, max_size=80), seq_len=st.integers(8, 64))
def test_best_fit_wastes_less_than_half(lengths, seq_len):
    """No two rows could be one: best fit opens a row only for what fits into no other."""
    plan = plan_rows(np.cumsum([0, *lengths]), seq_len=seq_len, packing="fit")
    row = np.repeat(np.arange(plan.num_rows), np.diff(plan.first_piece))
    filled = np.sort(np.bincount(row, weights=plan.length))
    assert plan.num_rows == 1 or filled[0] + filled[1] > seq_len


@given(
    texts=st.lists(st.text(max_size=20), max_size=60, unique=True),
    more=st.lists(st.text(max_size=20), max_size=20),
    shares=st.tuples(st.integers(1, 100), st.integers(0, 100), st.integers(0, 100)),
    seed=SEEDS,
)
def test_splits_are_disjoint_complete_and_stable(texts, more, shares, seed):
    """Every text has one split, which other texts do not change; a split without a share gets none."""
    split = splitter([share / sum(shares) for share in shares], seed=seed)
    before = {text: split.split_of(text, group=None) for text in texts}
    after = {text: split.split_of(text, group=None) for text in [*more, *texts]}

    assert set(before.values()) <= {name for name, share in zip(SPLITS, shares, strict=True) if share}
    assert {text: after[text] for text in texts} == before

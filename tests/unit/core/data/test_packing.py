"""Rows cut from documents."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from codex_core.contracts import PackedRows
from codex_core.data.gathering import Gatherer
from codex_core.data.packing import (
    ShuffledRows,
    TokenColumns,
    count_supervised,
    gather,
    packing_of,
    plan_rows,
    windows_of,
)
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
    assert count_supervised(plan, tokens).tolist() == [4, 3, 1]


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
    with pytest.raises(UsageError, match="tight") as caught:
        plan_rows(tokens.offsets, seq_len=LENGTH, packing="tight")

    assert caught.value.code == "DAT-009"
    assert "concat" in str(caught.value)


def one_by_one(rows, plan, tokens):
    """The batch of these rows, built pair by pair."""
    batch = {
        name: np.zeros((len(rows), plan.seq_len), dtype=np.int64)
        for name in ("inputs", "targets", "loss_mask", "positions")
    }
    batch["document_ids"] = np.full((len(rows), plan.seq_len), -1, dtype=np.int64)
    for place, row in enumerate(rows):
        at = 0
        for number, piece in enumerate(range(int(plan.first_piece[row]), int(plan.first_piece[row + 1]))):
            first = int(tokens.offsets[int(plan.document[piece])]) + int(plan.start[piece])
            for position in range(int(plan.length[piece])):
                batch["inputs"][place, at] = tokens.ids[first + position]
                batch["targets"][place, at] = tokens.ids[first + position + 1]
                batch["loss_mask"][place, at] = tokens.loss_mask[first + position + 1]
                batch["positions"][place, at] = position
                batch["document_ids"][place, at] = number
                at += 1
    return batch


@pytest.mark.parametrize("mean", [3, 20, 200])
@pytest.mark.parametrize("num_shards", [1, 3])
def test_rows_are_equal_however_they_are_gathered(mean, num_shards):
    """Short and long documents, one shard or several: each row is what its pieces say, pair by pair."""
    random = np.random.default_rng(mean)
    documents = [
        random.integers(0, 500, 2 + int(length)).tolist() for length in random.exponential(mean, size=40)
    ]
    whole = columns(*documents, unsupervised=7)
    cuts = np.linspace(0, len(documents), num_shards + 1).astype(int).tolist()
    shards = [columns(*documents[a:b], unsupervised=7) for a, b in itertools.pairwise(cuts)]
    plan = plan_rows(whole.offsets, seq_len=16, packing="concat")
    rows = np.arange(plan.num_rows)[::-1]
    expected = one_by_one(rows, plan, whole)
    batch = Gatherer(plan, shards).gather(rows)

    for name, values in expected.items():
        assert np.array_equal(getattr(batch, name), values), name
    supervised = expected["loss_mask"].sum(axis=1)
    assert count_supervised(plan, shards)[rows].tolist() == supervised.tolist()


def test_windows_of_documents_do_not_show(tokens, monkeypatch):
    """Planning two documents at a time gives the rows of planning all at once."""
    whole = plan_rows(tokens.offsets, seq_len=2, packing="concat")
    monkeypatch.setattr("codex_core.data.packing.WINDOW_DOCUMENTS", 2)
    cut = plan_rows(tokens.offsets, seq_len=2, packing="concat")

    for name in ("first_piece", "document", "start", "length"):
        assert getattr(cut, name).tolist() == getattr(whole, name).tolist()


def test_windows_cross_shards(tokens):
    """Windows hold the same numbers of documents whatever shards they lie in."""
    assert [window.tolist() for window in windows_of([tokens, tokens])] == [[3, 1, 5, 3, 1, 5]]


def test_best_fit_by_hand():
    """The longest first, each where it leaves the least room; a document longer than a row gives full rows first."""
    pairs = np.array([3, 9, 2, 5, 4])  # seq_len 6: 9 = 6 + 3
    plan = plan_rows(np.concatenate(([0], np.cumsum(pairs + 1))), seq_len=6, packing="fit")

    rows = [
        list(
            zip(plan.document[a:b].tolist(), plan.start[a:b].tolist(), plan.length[a:b].tolist(), strict=True)
        )
        for a, b in itertools.pairwise(plan.first_piece.tolist())
    ]
    assert rows == [
        [(0, 0, 3), (1, 6, 3)],
        [(1, 0, 6)],
        [(2, 0, 2), (4, 0, 4)],
        [(3, 0, 5)],
    ]


def test_windows_are_fitted_apart():
    """What is planned for a window of documents does not depend on the windows around it."""
    alone = list(packing_of("fit")([np.array([3, 5])], seq_len=6))
    first, second = packing_of("fit")([np.array([4, 4, 4]), np.array([3, 5])], seq_len=6)

    assert second.length.tolist() == alone[0].length.tolist()
    assert second.document.tolist() == (alone[0].document + 3).tolist()
    assert first.num_rows == 3

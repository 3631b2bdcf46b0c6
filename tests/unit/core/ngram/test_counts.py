"""Events of packed rows, and the table that they end up in."""

from __future__ import annotations

import numpy as np
import pytest

from codex_core.contracts import RowBatch
from codex_core.ngram.counts import Counts, cut_events, sortable_codes
from codex_core.testing.shell import SmallRows

BORDER = 50


def batch(*, inputs, targets, document_ids, loss_mask=None):
    """Rows from lists; everything that is no padding is supervised unless told otherwise."""
    documents = np.array(document_ids)
    return RowBatch(
        inputs=np.array(inputs),
        targets=np.array(targets),
        loss_mask=documents >= 0 if loss_mask is None else np.array(loss_mask),
        positions=np.zeros_like(documents),
        document_ids=documents,
    )


def test_events_hold_context_nearest_first():
    """An event is the tokens before the word, nearest first, then the word; the border fills what is missing."""
    rows = batch(inputs=[[1, 2, 3, 4]], targets=[[2, 3, 4, 5]], document_ids=[[0, 0, 0, 0]])
    events = cut_events(rows, order=4, vocab_size=BORDER).tolist()
    assert events == [[1, BORDER, BORDER, 2], [2, 1, BORDER, 3], [3, 2, 1, 4], [4, 3, 2, 5]]


def test_events_never_cross_pieces_or_padding():
    """A piece of a document starts without context, and padding gives no event."""
    rows = batch(
        inputs=[[1, 2, 7, 8, 0], [3, 4, 5, 6, 9]],
        targets=[[2, 3, 8, 9, 0], [4, 5, 6, 9, 1]],
        document_ids=[[0, 0, 1, 1, -1], [0, 0, 0, 0, 0]],
    )
    events = cut_events(rows, order=3, vocab_size=BORDER).tolist()
    assert events[2:4] == [[7, BORDER, 8], [8, 7, 9]]
    assert events[4] == [3, BORDER, 4], "a row must not see the row before"
    assert len(events) == 9


def test_unsupervised_targets_are_context_only():
    """A token that is not supervised is not counted as a word, but stands in the contexts of later ones."""
    rows = batch(
        inputs=[[1, 2, 3]], targets=[[2, 3, 4]], document_ids=[[0, 0, 0]], loss_mask=[[False, False, True]]
    )
    assert cut_events(rows, order=3, vocab_size=BORDER).tolist() == [[3, 2, 4]]


def test_short_rows_of_long_order():
    """Rows shorter than the order give events that are mostly border."""
    rows = batch(inputs=[[1, 2]], targets=[[2, 3]], document_ids=[[0, 0]])
    events = cut_events(rows, order=6, vocab_size=BORDER).tolist()
    assert events == [[1, *[BORDER] * 4, 2], [2, 1, *[BORDER] * 3, 3]]


@pytest.mark.parametrize("base", [3, 1000, 300_000, 2_000_000])
def test_sortable_codes_order_lines(base):
    """Codes are equal where lines are equal and ordered as lines are, even where 63 bits do not hold a line."""
    lines = np.random.default_rng(1).integers(0, 3, size=(300, 5)) * (base // 3)
    codes = sortable_codes(lines.astype(np.int32), base)
    as_tuples = [tuple(line) for line in lines.tolist()]
    for left in range(0, 300, 7):
        for right in range(300):
            wanted = (as_tuples[left] > as_tuples[right]) - (as_tuples[left] < as_tuples[right])
            assert np.sign(codes[left] - codes[right]) == wanted


def random_events(count, *, seed):
    """Events of order 3 over few ids, so that many repeat."""
    return np.random.default_rng(seed).integers(0, 4, size=(count, 3)).astype(np.int32)


def test_table_does_not_depend_on_how_rows_came_in():
    """The settled table is the same for one block, for many blocks, and for settling in between."""
    events = random_events(500, seed=2)
    whole, pieces = (Counts.empty(order=3, vocab_size=4) for _ in range(2))
    whole.add(events)
    whole.settle()
    for start in range(0, 500, 37):
        pieces.add(events[start : start + 37])
        if start % 2:
            pieces.settle()
    pieces.settle()
    assert np.array_equal(whole.keys, pieces.keys) and np.array_equal(whole.counts, pieces.counts)
    assert whole.num_events == 500


def test_table_counts_every_line():
    """Each distinct line stands once, in order, with the times it occurred."""
    events = random_events(300, seed=3)
    table = Counts.empty(order=3, vocab_size=4)
    table.add(events)
    table.settle()
    lines = [tuple(line) for line in events.tolist()]
    assert [tuple(key) for key in table.keys.tolist()] == sorted(set(lines))
    assert table.counts.tolist() == [lines.count(line) for line in sorted(set(lines))]


def test_without_undoes_add():
    """Taking blocks away gives the table from before they were added, and leaves the newer one as it is."""
    earlier, later = random_events(200, seed=4), random_events(120, seed=5)
    before, after = (Counts.empty(order=3, vocab_size=4) for _ in range(2))
    before.add(earlier)
    before.settle()
    after.add(earlier)
    after.add(later)
    undone = after.without(later[:50], later[50:])
    assert np.array_equal(undone.keys, before.keys) and np.array_equal(undone.counts, before.counts)
    assert after.num_events == 320


def test_without_refuses_what_was_never_counted():
    """Events that are not in the table cannot be taken away."""
    table = Counts.empty(order=3, vocab_size=4)
    table.add(np.array([[0, 1, 2]], dtype=np.int32))
    with pytest.raises(ValueError, match="never counted"):
        table.without(np.array([[2, 1, 0]], dtype=np.int32))


def test_small_rows_cut_long_documents():
    """The packed rows of the conformance kit supervise each token but the first of a document exactly once."""
    data = SmallRows(documents=[[0, *range(2, 22), 1], [0, 5, 1]], seq_len=8)
    rows = data.rows(0, data.num_rows)
    targets = rows.targets[rows.loss_mask].tolist()
    assert sorted(targets) == sorted([*range(2, 22), 1, 5, 1])
    assert data.num_supervised(0, data.num_rows) == len(targets)

"""Sources mixed by weights: exact shares, each source in its own order, one integer as cursor."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

pytest.importorskip("hypothesis")
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_core.data.mixture import Mixture
from codex_core.errors import InputError
from codex_core.planning.mixing import epoch_rows, schedule
from tests.unit.core.data.test_prepare import make_plan, run

SOURCES = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 40)), min_size=1, max_size=4)
SEEDS = st.integers(0, 2**63 - 1)


@given(weights=st.lists(st.integers(1, 30), min_size=1, max_size=6))
def test_a_schedule_has_exact_shares_and_never_lags(weights):
    """In one run every source has its weight of places, and at no place is any a whole row behind or ahead."""
    places, total = schedule(weights), sum(weights)
    assert Counter(places) == Counter(dict(enumerate(weights)))
    taken = np.zeros(len(weights))
    for place, source in enumerate(places, start=1):
        taken[source] += 1
        lag = np.array(weights) * place / total - taken
        assert lag.max() < 1
        assert lag.min() > -1


@settings(max_examples=25)
@given(sources=SOURCES, seed=SEEDS, cuts=st.lists(st.integers(1, 50), min_size=1, max_size=12))
def test_any_cut_of_positions_gives_the_same_order(sources, seed, cuts):
    """However positions are cut into batches, with stops in between, the rows are those of one reading."""
    weights, rows = zip(*sources, strict=True)
    mixture = Mixture(weights=weights, rows=rows)
    edges = np.cumsum([0, *cuts]).tolist()
    parts = [mixture.rows_at(a, b - a, seed=seed).tolist() for a, b in pairwise(edges)]
    joined = [row for part in parts for row in part]
    assert joined == mixture.rows_at(0, edges[-1], seed=seed).tolist()


@given(sources=SOURCES, seed=SEEDS)
def test_every_source_is_read_once_per_epoch_of_its_own(sources, seed):
    """The k-th pass over a source holds each of its rows once, whatever stands between them."""
    weights, rows = zip(*sources, strict=True)
    mixture = Mixture(weights=weights, rows=rows)
    read = mixture.rows_at(0, mixture.num_rows, seed=seed)
    first = np.cumsum([0, *rows])
    whole = []
    for number, count in enumerate(rows):
        mine = read[(read >= first[number]) & (read < first[number + 1])]
        passes = [mine[start : start + count] for start in range(0, len(mine), count)]
        assert all(len(set(one.tolist())) == len(one) for one in passes)
        whole.append(len(mine) >= count)
    assert all(whole)
    assert mixture.num_rows == epoch_rows(weights, rows)


@settings(max_examples=15)
@given(rows=st.tuples(st.integers(1, 40), st.integers(1, 40)), seed=SEEDS)
def test_weights_change_when_a_row_comes_and_not_which(rows, seed):
    """A source's rows come in the same order under other weights."""
    orders = []
    for weights in ((1, 1), (5, 2)):
        read = Mixture(weights=weights, rows=rows).rows_at(0, 200, seed=seed)
        orders.append(read[read < rows[0]][:40].tolist())
    shortest = min(map(len, orders))
    assert orders[0][:shortest] == orders[1][:shortest]


@pytest.fixture
def two_sources(tmp_path):
    """Two files of lines: letters and numbers."""
    for name, word in (("a", "alpha"), ("b", "beta")):
        (tmp_path / f"{name}.txt").write_text("".join(f"{word} {number} of them\n" for number in range(60)))
    return [("text", {"path": str(tmp_path / f"{name}.txt"), "document": "line"}) for name in ("a", "b")]


def test_a_prepared_set_keeps_sources_apart(tmp_path, two_sources):
    """With weights no row holds text of two sources, and three rows of the first come for each of the second."""
    prepared = run(tmp_path, make_plan(*two_sources, weights=[3, 1]))
    rows = prepared.packed("train", seed=5, weights=(3, 1))
    shard = prepared.documents("train")
    dataset = np.array([shard.source_of(number)[0] for number in range(len(shard))])
    found = []
    for row in rows.numbers(0, 8).tolist():
        pieces = rows.plan.document[int(rows.plan.first_piece[row]) : int(rows.plan.first_piece[row + 1])]
        (only,) = set(dataset[pieces.astype(np.int64)].tolist())
        found.append(only)
    assert found == [0, 0, 1, 0] * 2
    assert sum(prepared.manifest["splits"]["train"]["rows_of_sources"]) == rows.plan.num_rows


def test_other_weights_use_the_same_set(tmp_path, two_sources):
    """Weights are no part of the prepared bytes: changing them tokenises nothing anew."""
    first = run(tmp_path, make_plan(*two_sources, weights=[3, 1]))
    second = run(tmp_path, make_plan(*two_sources, weights=[1, 7]))
    packed_together = run(tmp_path, make_plan(*two_sources))
    assert first.fingerprint == second.fingerprint != packed_together.fingerprint


def test_what_was_packed_together_is_not_mixed(tmp_path, two_sources):
    """Weights for a set whose rows hold several sources are refused, and so are too few weights."""
    together = run(tmp_path, make_plan(*two_sources))
    apart = run(tmp_path, make_plan(*two_sources, weights=[1, 1]))
    for prepared, weights in ((together, (1, 1)), (apart, (1, 1, 1))):
        with pytest.raises(InputError, match="cannot be mixed") as caught:
            prepared.packed("train", seed=0, weights=weights)
        assert caught.value.code == "DAT-050"

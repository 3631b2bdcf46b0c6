"""What is told of packed rows: how full they are, and what was cut."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_core.data.filling import Filling
from codex_core.data.packing import PACKINGS, packing_of, plan_rows
from tests.support.data_plans import make_plan
from tests.support.preparing import run, write_rows


@given(
    lengths=st.lists(st.integers(2, 90), min_size=1, max_size=40),
    seq_len=st.integers(1, 40),
    packing=st.sampled_from(sorted(PACKINGS)),
    window=st.integers(1, 9),
)
def test_counts_are_those_of_the_whole_plan(lengths, seq_len, packing, window):
    """Counted block by block, for windows of any size: pairs, padding, pieces, documents with several pieces."""
    pairs = np.array(lengths) - 1
    filling = Filling(seq_len=seq_len)
    windows = [pairs[first : first + window] for first in range(0, len(pairs), window)]
    blocks = list(packing_of(packing)(windows, seq_len=seq_len))
    for block in blocks:
        filling.add(block)
    document = np.concatenate([block.document for block in blocks])
    num_places = seq_len * sum(block.num_rows for block in blocks)

    assert filling.report() == {
        "pieces": len(document),
        "pairs": pairs.sum(),
        "padding": num_places - pairs.sum(),
        "filled": f"{pairs.sum() / num_places:.4f}",
        "cut_documents": (np.bincount(document) > 1).sum(),
    }


@pytest.mark.parametrize("packing", sorted(PACKINGS))
def test_report_and_summary_tell_how_full_rows_are(tmp_path, packing):
    """The numbers stand in `report.json`, in the manifest and, as a share, in the summary."""
    source = ("jsonl", {"path": str(write_rows(tmp_path))})
    prepared = run(tmp_path, make_plan(source, packing=packing, seq_len=64))
    report = json.loads((prepared.path / "report.json").read_bytes())
    found = report["splits"]["train"]["filling"]
    num_rows = report["splits"]["train"]["rows"]
    rows = prepared.packed("train", seed=0).rows(0, num_rows)

    assert prepared.manifest["splits"]["train"]["filling"] == found
    assert found["padding"] == (rows.document_ids < 0).sum()
    assert found["pairs"] == (rows.document_ids >= 0).sum()
    assert (
        f"{float(found['filled']):.1%} filled, {found['cut_documents']} documents cut" in prepared.summary()
    )
    assert (packing == "none") == (found["pieces"] == num_rows)


def test_best_fit_fills_more_than_one_document_to_a_row():
    """Of the ways that cut nothing, `fit` has the fuller rows."""
    shares = {}
    for packing in ("fit", "none"):
        filling = Filling(seq_len=64)
        filling.add(
            plan_rows(np.cumsum([0, *[10 + i % 37 for i in range(200)]]), seq_len=64, packing=packing)
        )
        shares[packing] = float(filling.report()["filled"])
        assert filling.cut_documents == 0

    assert shares["fit"] > 0.95 > 0.5 > shares["none"]

"""Counting what a plan would give."""

from __future__ import annotations

import json

import pytest

from codex_core.data.bytes_tokenizer import BytesTokenizer
from codex_core.data.estimate import estimate
from codex_core.data.prepare import prepare
from codex_core.data.splits import SPLITS
from codex_core.errors import InputError, UsageError
from tests.support.data_plans import RoomRegistry, make_places, make_plan


@pytest.fixture
def source(tmp_path):
    """Two hundred rows of different lengths, some twice."""
    texts = [f"{number} " * (number % 17 + 1) for number in range(200)]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in [*texts, *texts[:20]]))
    return "jsonl", {"path": str(path)}


@pytest.mark.parametrize("tokenizer", [("bytes", {}), ("faulty", {"path": "saved"})])
def test_documents_are_counted_and_tokens_estimated(tmp_path, source, tokenizer):
    """Documents and bytes equal those of the prepared set; tokens and rows are near, and named as estimated."""
    (tmp_path / "saved").mkdir()
    BytesTokenizer().save(tmp_path / "saved")
    plan = make_plan(source, tokenizer=tokenizer, base_path=tmp_path)
    counted = estimate(plan, registry=RoomRegistry(), num_sampled=50)
    assert not (tmp_path / "store").exists()
    prepared = prepare(plan, registry=RoomRegistry(), places=make_places(tmp_path))

    assert set(counted.estimated) == {"tokens", "rows", "vocab_size"}
    assert counted.num_sampled in (25, 50)
    for split in SPLITS:
        real, shown = prepared.manifest["splits"][split], counted.splits[split]
        assert (shown.documents, shown.bytes) == (real["documents"], real["bytes"])
        assert shown.tokens == pytest.approx(real["tokens"], rel=0.1)  # 25 of 200 documents
        assert shown.rows == pytest.approx(real["rows"], rel=0.1, abs=1)


def test_the_sample_does_not_depend_on_the_order(tmp_path, source):
    """Rows in another order give the same estimate."""
    plan = make_plan(source)
    before = estimate(plan, registry=RoomRegistry(), num_sampled=20)
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(sorted(path.read_text().splitlines(keepends=True), reverse=True)))

    assert estimate(plan, registry=RoomRegistry(), num_sampled=20) == before


def test_an_empty_dataset_is_refused(tmp_path, source):
    """Estimating refuses what preparing refuses."""
    (tmp_path / "rows.jsonl").write_text("")

    with pytest.raises(InputError, match="empty"):
        estimate(make_plan(source), registry=RoomRegistry())


def test_rows_of_whole_documents_are_estimated_document_by_document(source):
    """Where rows are not shared, each document takes rows of its own, and the estimate counts them so."""
    shared = estimate(make_plan(source, seq_len=8), registry=RoomRegistry())
    alone = estimate(make_plan(source, seq_len=8, packing="none"), registry=RoomRegistry())

    assert alone.splits["train"].rows >= alone.splits["train"].documents
    assert alone.splits["train"].rows > shared.splits["train"].rows


def test_a_mixture_is_not_estimated(source):
    """Weights of sources are refused: a sample does not tell where the epoch of a mixture ends."""
    with pytest.raises(UsageError) as caught:
        estimate(make_plan(source, weights=[1]), registry=RoomRegistry())

    assert caught.value.code == "DAT-035"

"""The splits of a prepared set, asked for by the configuration: together the input, and nothing twice."""

from __future__ import annotations

import hashlib
import itertools
import json

import pytest

from codex_core.data.splits import SPLITS
from codex_core.errors import UsageError
from tests.support.data_plans import make_plan
from tests.support.preparing import run

NUM_TEXTS = 150


@pytest.mark.parametrize(
    "how", [{}, {"dedup": "none"}, {"split_by": "index"}], ids=["content", "repeated", "index"]
)
@pytest.mark.parametrize("seed", [0, 1])
def test_splits_are_the_input_cut_in_three(tmp_path, how, seed):
    """Their union is the input, they share no document and no content, and sizes are about as asked for."""
    path = tmp_path / "rows.jsonl"
    texts = [f"text {number}" for number in range(NUM_TEXTS)]
    repeated = texts[:20] if "dedup" in how else []
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in [*texts, *repeated]))
    prepared = run(
        tmp_path, make_plan(("jsonl", {"path": str(path)}), split=[0.8, 0.1, 0.1], split_seed=seed, **how)
    )
    held = {split: list(prepared.texts(split)) for split in SPLITS}
    contents = {
        split: {hashlib.sha256(one.text.encode()).digest() for one in held[split]} for split in SPLITS
    }
    ids = {split: {one.id for one in held[split]} for split in SPLITS}

    assert sorted(one.text for split in SPLITS for one in held[split]) == sorted([*texts, *repeated])
    for one, other in itertools.combinations(SPLITS, 2):
        assert not contents[one] & contents[other] and not ids[one] & ids[other]
    assert 100 <= len(contents["train"]) <= 140  # 120 asked for, 4 standard deviations
    assert all(contents[split] for split in SPLITS)


@pytest.mark.parametrize("split", [[0.8, 0.1], [0.8, 0.1, 0.2], [1.1, -0.1, 0], [0, 0.5, 0.5]])
def test_bad_ratios_make_no_set(tmp_path, split):
    """Anything but three shares that sum to one, with a share for training, is a usage error; nothing is stored."""
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "one"}\n')
    with pytest.raises(UsageError) as caught:
        run(tmp_path, make_plan(("jsonl", {"path": str(path)}), split=split))

    assert caught.value.code == "DAT-008"
    assert not (tmp_path / "store").exists()

"""Splits by where a row stands: asked for, and what that costs is counted and told."""

from __future__ import annotations

import json
from collections import defaultdict

import pytest

from codex_core import config
from codex_core.data.splits import SPLITS, splitter
from codex_core.errors import ConfigError
from codex_core.events import Warned
from tests.support.data_plans import make_plan
from tests.support.our_plugins import our_registry
from tests.support.preparing import run

RATIOS = [0.5, 0.3, 0.2]


def rows_at(folder, *, texts=25, times=4):
    """A file in which every text stands several times."""
    path = folder / "rows.jsonl"
    lines = [{"text": f"text {number % texts}"} for number in range(texts * times)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def splits_of_texts(prepared):
    """For every text the splits that it stands in, with every row of it."""
    found = defaultdict(list)
    for split in SPLITS:
        for text in prepared.texts(split):
            found[text.text].append((split, text.id))
    return found


def test_texts_in_two_splits_are_counted_and_told(tmp_path):
    """The count is that of texts found in several splits; it stands in report, manifest and summary, and warns."""
    events = []
    source = ("jsonl", {"path": str(rows_at(tmp_path))})
    plan = make_plan(source, dedup="none", split_by="index", split=RATIOS)
    prepared = run(tmp_path, plan, events=events)
    found = splits_of_texts(prepared)
    leaks = sum(len({split for split, _ in rows}) > 1 for rows in found.values())

    assert 5 < leaks <= 25 and sum(map(len, found.values())) == 100
    assert prepared.manifest["leaks"] == {"texts": leaks}
    assert json.loads((prepared.path / "report.json").read_bytes())["leaks"] == {"texts": leaks}
    assert f"leaks      {leaks} texts stand in more than one split" in prepared.summary()
    told = [event for event in events if isinstance(event, Warned) and event.code == "DAT-062"]
    assert [event.text.split()[0] for event in told] == [str(leaks)]


def test_without_repeats_nothing_leaks(tmp_path):
    """With exact deduplication no text is in two splits, and the count says so; by content none is counted."""
    events = []
    source = ("jsonl", {"path": str(rows_at(tmp_path))})
    by_index = run(tmp_path, make_plan(source, split_by="index", split=RATIOS), events=events)
    by_content = run(tmp_path, make_plan(source, dedup="none", split=RATIOS), events=events)

    assert by_index.manifest["leaks"] == {"texts": 0}
    assert "leaks" not in by_content.manifest
    assert all(len({split for split, _ in rows}) == 1 for rows in splits_of_texts(by_content).values())
    assert not [event for event in events if isinstance(event, Warned) and event.code == "DAT-062"]


def test_rows_keep_their_split_when_others_follow(tmp_path):
    """By index a row keeps its split when rows are added behind it, and every row has one split."""
    plan = make_plan(
        ("jsonl", {"path": str(rows_at(tmp_path))}), dedup="none", split_by="index", split=RATIOS
    )
    before = {id: split for rows in splits_of_texts(run(tmp_path, plan)).values() for split, id in rows}
    rows_at(tmp_path, times=6)
    after = {id: split for rows in splits_of_texts(run(tmp_path, plan)).values() for split, id in rows}

    assert len(before) == 100 and len(after) == 150
    assert {id: after[id] for id in before} == before


def test_the_rule_is_part_of_the_identity():
    """By content and by index are two rules; by index neither text nor group decides, file, row and seed do."""
    by_index, by_content = (splitter(RATIOS, seed=1, by=by) for by in ("index", "content"))
    rows = [("a", number) for number in range(60)]

    def splits(split, text, group=None):
        return [split.split_of(text, group=group, source=row) for row in rows]

    assert by_index.identity() != by_content.identity()
    assert splits(by_index, "one") == splits(by_index, "two", "group")
    assert set(splits(by_index, "one")) == set(SPLITS)
    assert splits(by_index, "one") != splits(splitter(RATIOS, seed=2, by="index"), "one")
    assert len(set(splits(by_content, "one"))) == 1


def test_a_group_and_an_index_contradict_each_other(tmp_path):
    """A dataset whose rows stay together by a field cannot be split by index: a mistake of the configuration."""
    path = tmp_path / "run.yaml"
    path.write_text(
        "schema: codex-run/1\n"
        "data: {split_by: index, sources: [{name: jsonl, path: rows.jsonl, group: page}]}\n"
        "tokenizer: bytes\nmodel: ngram\ntrainer: ngram\nsafety: {name: none, reason: a test}\n"
    )
    with pytest.raises(ConfigError) as caught:
        config.load(path, registry=our_registry())

    assert "data.split_by" in str(caught.value.where) and "'page'" in caught.value.what
    assert config.load(path, ["data.split_by=content"], registry=our_registry()).data.split_by == "content"

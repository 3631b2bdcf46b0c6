"""From a plan to a prepared set."""

from __future__ import annotations

import itertools
import json
import os
import shutil
from collections import Counter

import numpy as np
import pytest

from codex_core.contracts import PreparedData
from codex_core.data.bytes_tokenizer import BOS, EOS, BytesTokenizer
from codex_core.data.prepare import open_prepared
from codex_core.data.splits import SPLITS
from codex_core.errors import ArtefactError, InputError, UsageError
from codex_core.events import ProgressMade, Warned
from tests.support.data_plans import make_plan
from tests.support.preparing import FOUND, files_below, run, write_rows


@pytest.fixture
def rows(tmp_path):
    """Sixty rows of JSON Lines, some twice, one blank."""
    return write_rows(tmp_path)


def stored_texts(prepared):
    """All texts by split."""
    return {split: [text.text for text in prepared.texts(split)] for split in SPLITS}


def test_every_row_is_accounted_for(tmp_path, rows):
    """Read = kept + dropped by reason, in manifest and report; splits are disjoint and complete."""
    prepared = run(tmp_path, make_plan(("jsonl", {"path": str(rows)})))
    texts = stored_texts(prepared)

    assert isinstance(prepared, PreparedData)
    assert prepared.manifest["rows"] == {
        "read": 68,
        "kept": 60,
        "dropped": {"duplicate": 7, "empty": 1},
        "skipped": {},
    }
    assert json.loads((prepared.path / "report.json").read_bytes())["rows"] == prepared.manifest["rows"]
    assert Counter(text for held in texts.values() for text in held) == Counter(
        f"This is text number {number}, äöü." for number in range(60)
    )
    for split, held in texts.items():
        counts = prepared.manifest["splits"][split]
        assert counts["documents"] == len(held) > 0
        assert counts["bytes"] == sum(len(text.encode()) for text in held)
        assert counts["tokens"] == counts["bytes"] + 2 * len(held)


def test_documents_are_rendered_and_stored(tmp_path, rows):
    """What evaluation scores: text, its bytes, and ids from BOS to EOS; the packed rows hold the same ids."""
    prepared = run(tmp_path, make_plan(("jsonl", {"path": str(rows)})))
    documents = list(prepared.texts("train"))

    for document in documents:
        assert document.ids == (BOS, *document.text.encode(), EOS)
        assert document.num_bytes == len(document.text.encode())
    packed = prepared.packed("train", seed=1)
    batch = packed.rows(0, packed.num_rows)
    counts = prepared.manifest["splits"]["train"]
    assert packed.num_rows == counts["rows"]
    assert packed.num_supervised(0, packed.num_rows) == batch.loss_mask.sum() == counts["supervised"]
    pairs = Counter(zip(batch.inputs[batch.loss_mask], batch.targets[batch.loss_mask], strict=True))
    assert pairs == Counter(pair for document in documents for pair in itertools.pairwise(document.ids))


def test_sources_keep_their_order_and_names(tmp_path, rows):
    """Several sources are read in the order of the plan; relative paths start at the plan's folder."""
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "a.txt").write_text("another text")
    plan = make_plan(
        ("text", {"path": "more"}), ("jsonl", {"path": "rows.jsonl"}), base_path=tmp_path, split=[1, 0, 0]
    )
    prepared = run(tmp_path, plan)
    documents = list(prepared.texts("train"))

    assert [source["id"] for source in prepared.manifest["sources"]] == [
        "codex-core/text",
        "codex-core/jsonl",
    ]
    assert [document.id for document in documents[:2]] == ["a.txt", "rows.jsonl:1"]


def test_the_second_run_finds_everything(tmp_path, rows):
    """Nothing is written again, no document is rendered again, and the result is equal."""
    plan = make_plan(("jsonl", {"path": str(rows)}))
    first = run(tmp_path, plan)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    events = []
    second = run(tmp_path, plan, events=events)

    assert second == first
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    assert {event.detail for event in events if event.phase in ("read", "pack")} == {FOUND}


def test_bytes_are_the_same_elsewhere(tmp_path, rows):
    """Another store, another input folder: the same files, byte for byte, and no path among them."""
    moved = tmp_path / "elsewhere" / "rows.jsonl"
    moved.parent.mkdir()
    shutil.copy(rows, moved)
    first = run(tmp_path / "one", make_plan(("jsonl", {"path": str(rows)})))
    second = run(tmp_path / "two", make_plan(("jsonl", {"path": str(moved)})))
    stored = files_below(tmp_path / "one" / "store")

    assert stored == files_below(tmp_path / "two" / "store")
    assert (first.fingerprint, first.manifest_digest) == (second.fingerprint, second.manifest_digest)
    assert not [name for name, data in stored.items() if str(tmp_path).encode() in data]


def test_what_decides_the_bytes_decides_the_fingerprint(tmp_path, rows):
    """Another row, split, seed, row length, policy or field of the tokenizer's options is another set."""
    source = ("jsonl", {"path": str(rows)})
    plans = [
        make_plan(source),
        make_plan(source, seq_len=8),
        make_plan(source, split_seed=1),
        make_plan(source, split=[0.7, 0.2, 0.1]),
        make_plan(source, dedup="none"),
        make_plan(source, safety={}),
        make_plan(source, safety={"secret": "other"}),
        make_plan(("jsonl", {"path": str(rows), "max_line_bytes": 10_000}), source),
    ]
    fingerprints = [run(tmp_path, plan).fingerprint for plan in plans]
    rows.write_text(rows.read_text().replace("number 1,", "number X,"))
    fingerprints.append(run(tmp_path, plans[0]).fingerprint)

    assert len(set(fingerprints)) == len(fingerprints)


def test_what_was_prepared_before_does_not_show(tmp_path, rows):
    """A set made after one that differs only in the tokenizer's seed equals the one made alone."""
    source = ("jsonl", {"path": str(rows)})
    run(tmp_path / "one", make_plan(source, tokenizer_seed=1))
    after = run(tmp_path / "one", make_plan(source, tokenizer_seed=2))
    alone = run(tmp_path / "two", make_plan(source, tokenizer_seed=2))

    assert after.manifest_digest == alone.manifest_digest
    assert open_prepared(after.path).tokenizer_path == after.tokenizer_path


def test_splits_are_stable_when_rows_are_added(tmp_path, rows):
    """Documents keep their split when others are added before and after them."""
    before = stored_texts(run(tmp_path, make_plan(("jsonl", {"path": str(rows)}))))
    rows.write_text('{"text": "new"}\n' + rows.read_text() + '{"text": "newer"}\n')
    after = stored_texts(run(tmp_path, make_plan(("jsonl", {"path": str(rows)}))))

    for split in SPLITS:
        assert [text for text in after[split] if not text.startswith("new")] == before[split]


def test_groups_stay_together_and_no_text_is_in_two_splits(tmp_path):
    """Rows of a group share a split; without deduplication a repeated text follows its first occurrence."""
    path = tmp_path / "rows.jsonl"
    lines = [{"text": f"text {number % 10}", "page": f"page {number % 7}"} for number in range(70)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    source = ("jsonl", {"path": str(path), "group": "page"})
    unique = stored_texts(run(tmp_path, make_plan(source, split=[0.4, 0.3, 0.3])))
    repeated = stored_texts(run(tmp_path, make_plan(source, split=[0.4, 0.3, 0.3], dedup="none")))

    assert sorted(map(len, repeated.values())) != [0, 0, 70]
    assert sum(map(len, unique.values())) == 10
    assert sum(map(len, repeated.values())) == 70
    for held in (unique, repeated):
        for one in SPLITS:
            assert not set(held[one]) & {text for other in SPLITS if other != one for text in held[other]}


def test_the_policy_blocks_redacts_and_is_counted(tmp_path):
    """Blocked rows are dropped, redactions are what is stored, counts stand by rule, nothing secret remains."""
    path = tmp_path / "rows.jsonl"
    texts = ["my password is hunter2", "a FORBIDDEN text", "my password is [secret]", *map(str, range(20))]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    prepared = run(tmp_path, make_plan(("jsonl", {"path": str(path)}), safety={}))
    held = [text for texts in stored_texts(prepared).values() for text in texts]

    assert prepared.manifest["rows"]["dropped"] == {"blocked": 1, "duplicate": 1}
    assert held.count("my password is [secret]") == 1
    assert prepared.manifest["safety"] == {
        "policy": "tests/words",
        "fingerprint": "sha256:FORBIDDEN:hunter2",
        "stage": "data",
        "blocked": 1,
        "redacted": 1,
        "matches": {"blocked": 1, "secret": 1},
    }
    stored = files_below(tmp_path / "store")
    assert not [
        name for name, data in stored.items() if b"password is hunter2" in data or b"a FORBIDDEN" in data
    ]


def test_an_empty_dataset_is_refused(tmp_path, rows):
    """No row, or none that is kept: exit code 4, with the count by reason, and nothing stored."""
    rows.write_text("")
    with pytest.raises(InputError, match="0 rows were read") as caught:
        run(tmp_path, make_plan(("jsonl", {"path": str(rows)})))
    assert (caught.value.code, int(caught.value.exit_code)) == ("DAT-002", 4)

    rows.write_text('{"text": "FORBIDDEN"}\n{"text": " "}\n')
    with pytest.raises(InputError, match="1 blocked, 1 empty"):
        run(tmp_path, make_plan(("jsonl", {"path": str(rows)}), safety={}))
    assert files_below(tmp_path / "store") == {}


def test_an_empty_training_split_is_refused(tmp_path, rows):
    """A single document that falls into another split is an input error that tells what to change."""
    rows.write_text('{"text": "alone"}\n')

    with pytest.raises(InputError, match="training split is empty") as caught:
        for seed in range(20):
            run(tmp_path, make_plan(("jsonl", {"path": str(rows)}), split=[0.2, 0.4, 0.4], split_seed=seed))

    assert caught.value.code == "DAT-007"


def test_an_empty_other_split_warns(tmp_path, rows):
    """A split that has a share and no document is said aloud, and has no rows to give."""
    rows.write_text('{"text": "lonely"}\n')
    events = []
    prepared = run(tmp_path, make_plan(("jsonl", {"path": str(rows)}), split=[0.98, 0.02, 0]), events=events)

    assert [event.text for event in events if isinstance(event, Warned)] == [
        "the split 'validation' is empty although its ratio is 0.02"
    ]
    assert list(prepared.texts("validation")) == []
    with pytest.raises(InputError, match="no rows"):
        prepared.packed("validation", seed=0)
    with pytest.raises(InputError, match="no split"):
        prepared.packed("dev", seed=0)


def test_unreadable_input_is_refused(tmp_path):
    """A path that does not exist is exit code 4 before anything is stored."""
    with pytest.raises(InputError, match="does not exist"):
        run(tmp_path, make_plan(("jsonl", {"path": "missing.jsonl"}), base_path=tmp_path))

    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(("key", "value"), [("packing", "tight"), ("dedup", "fuzzy")])
def test_what_does_not_exist_is_refused(tmp_path, rows, key, value):
    """A packing or deduplication that this room does not have is a usage error before anything is read."""
    with pytest.raises(UsageError, match=value):
        run(tmp_path, make_plan(("jsonl", {"path": str(rows)}), **{key: value}))


def test_progress_is_told(tmp_path, rows):
    """Displays hear of reading, tokenising and packing, each ending at its total."""
    events = []
    run(tmp_path, make_plan(("jsonl", {"path": str(rows)})), events=events)
    last = {event.phase: event for event in events if isinstance(event, ProgressMade)}

    assert (last["read"].done, last["read"].total) == (68, 68)
    assert (last["pack"].done, last["pack"].total) == (60, 60)
    assert "tokenize" in last


def test_an_opened_set_equals_the_prepared_one(tmp_path, rows):
    """Opening by path gives the same set, also after the store moved."""
    prepared = run(tmp_path, make_plan(("jsonl", {"path": str(rows)})))
    assert open_prepared(prepared.path) == prepared

    moved = (tmp_path / "store").rename(tmp_path / "moved")
    opened = open_prepared(moved / "tokens" / prepared.path.name)
    assert opened.manifest_digest == prepared.manifest_digest
    assert list(opened.texts("test")) and BytesTokenizer.load(opened.tokenizer_path)


@pytest.mark.parametrize(
    "part", ["tokens/*/train.tok", "texts/*/test.text", "tokenizers/*/artefact/bytes.json"]
)
def test_a_changed_byte_is_refused(tmp_path, rows, part):
    """A byte that changed in any part, size and time kept, is exit code 7, when opening and when preparing."""
    plan = make_plan(("jsonl", {"path": str(rows)}))
    prepared = run(tmp_path, plan)
    (path,) = (tmp_path / "store").glob(part)
    before, data = path.stat(), bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    for act in (lambda: open_prepared(prepared.path), lambda: run(tmp_path, plan)):
        with pytest.raises(ArtefactError) as caught:
            act()
        assert (caught.value.code, int(caught.value.exit_code)) == ("DAT-012", 7)


def test_a_path_that_does_not_exist_is_an_input_error(tmp_path):
    """A misspelt path is the user's mistake, not damaged data."""
    with pytest.raises(InputError) as caught:
        open_prepared(tmp_path / "absent")

    assert caught.value.code == "DAT-018"


def test_a_missing_part_is_refused(tmp_path, rows):
    """A set without the texts that it was made from is an artefact error."""
    prepared = run(tmp_path, make_plan(("jsonl", {"path": str(rows)})))
    shutil.rmtree(prepared.texts_path)

    with pytest.raises(ArtefactError):
        open_prepared(prepared.path)


def test_another_text_folder_is_refused(tmp_path, rows):
    """Texts that verify by themselves but are not those of the set are an artefact error."""
    one = run(tmp_path, make_plan(("jsonl", {"path": str(rows)})))
    two = run(tmp_path, make_plan(("jsonl", {"path": str(rows)}), split_seed=1))
    shutil.rmtree(one.texts_path)
    shutil.copytree(two.texts_path, one.texts_path)

    with pytest.raises(ArtefactError, match="made from"):
        open_prepared(one.path)


def test_a_tokenizer_from_a_folder_is_used_as_it_is(tmp_path, rows):
    """With `path` among its options a tokenizer is loaded, not learned, and its path is not part of the result."""
    digests = set()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        BytesTokenizer().save(tmp_path / name)
        plan = make_plan(
            ("jsonl", {"path": str(rows)}), tokenizer=("faulty", {"path": name}), base_path=tmp_path
        )
        digests.add(run(tmp_path, plan).manifest_digest)

    assert len(digests) == 1
    plan = make_plan(
        ("jsonl", {"path": str(rows)}), tokenizer=("faulty", {"path": "none"}), base_path=tmp_path
    )
    with pytest.raises(InputError, match="no tokenizer"):
        run(tmp_path, plan)


def test_a_tokenizer_is_learned_from_the_training_split(tmp_path, rows):
    """Learning gets the plan's seed and texts; other options are another tokenizer folder."""
    for options in ({}, {}, {"fault": None}):
        run(tmp_path, make_plan(("jsonl", {"path": str(rows)}), tokenizer=("faulty", options)))

    assert len(list((tmp_path / "store" / "tokenizers").glob("*/manifest.json"))) == 2


@pytest.mark.parametrize("fault", ["no-bos", "outside", "unsupervised"])
def test_a_rendering_that_cannot_be_trained_on_is_refused(tmp_path, rows, fault, monkeypatch):
    """A tokenizer that breaks the rendering contract is found before training, with the document's place."""
    monkeypatch.setattr(
        "tests.support.data_plans.FaultyTokenizer.fault", None
    )  # what learning sets, ends here
    plan = make_plan(("jsonl", {"path": str(rows)}), tokenizer=("faulty", {"fault": fault}))

    with pytest.raises(InputError) as caught:
        run(tmp_path, plan)

    assert caught.value.code == "DAT-014"
    assert "rows.jsonl:" in caught.value.where
    assert not (tmp_path / "store" / "tokens").exists() or not list(
        (tmp_path / "store" / "tokens").glob("[!.]*")
    )


def test_turns_keep_their_roles_and_masks(tmp_path):
    """Conversations are stored turn by turn; what is not to be learned is not supervised."""
    prepared = run(tmp_path, make_plan(("turns", {}), split=[1, 0, 0], seq_len=64))
    documents = list(prepared.texts("train"))
    batch = prepared.packed("train", seed=0).rows(0, 1)
    learned = bytes(id for id in batch.targets[0][batch.loss_mask[0]] if id < 256).decode()

    assert documents[0].text == "question 1\nanswer 1"
    assert documents[0].id == "talk 1"
    assert "swer" in learned and "question" not in learned and "assistant" not in learned
    assert prepared.manifest["splits"]["train"]["supervised"] == sum(
        len(f"answer {number}") + 1 for number in range(1, 13)
    )


def test_rows_without_supervision_are_dropped_and_counted(tmp_path):
    """A conversation of which nothing is to be learned is dropped under its own reason."""
    prepared = run(tmp_path, make_plan(("turns", {"fault": "unlearned"}), split=[1, 0, 0]))

    assert prepared.manifest["rows"] == {
        "read": 12,
        "kept": 11,
        "dropped": {"unsupervised": 1},
        "skipped": {},
    }


@pytest.mark.parametrize(("fault", "code"), [("changing", "DAT-010"), ("surrogate", "DAT-003")])
def test_faulty_datasets_are_refused(tmp_path, fault, code):
    """A source that changes while it is read, and text that no file can hold, store nothing."""
    with pytest.raises(InputError) as caught:
        run(tmp_path, make_plan(("turns", {"fault": fault})))

    assert caught.value.code == code
    assert files_below(tmp_path / "store") == {}


def test_the_summary_tells_what_was_prepared(tmp_path, rows):
    """Rows, splits, safety, corpus digest and fingerprint stand in a few lines."""
    prepared = run(tmp_path, make_plan(("jsonl", {"path": str(rows)}), safety={}))
    summary = prepared.summary()

    assert "68 read = 60 kept + 8 dropped (7 duplicate, 1 empty)" in summary
    assert "tests/words: 0 blocked, 0 redacted (no match)" in summary
    assert prepared.manifest["corpus"]["digest"] in summary
    assert prepared.fingerprint in summary
    assert len(summary.splitlines()) == 9


def test_stored_ids_use_the_smaller_type(tmp_path, rows):
    """Ids of a small vocabulary take two bytes each, and the manifest says so."""
    prepared = run(tmp_path, make_plan(("jsonl", {"path": str(rows)})))
    counts = prepared.manifest["splits"]["train"]

    assert prepared.manifest["dtype"] == "uint16"
    assert prepared.manifest["files"]["train.tok"]["bytes"] == 2 * counts["tokens"]
    assert prepared.manifest["files"]["train.msk"]["bytes"] == counts["tokens"]
    assert np.fromfile(prepared.path / "train.tok", dtype="<u2")[0] == BOS

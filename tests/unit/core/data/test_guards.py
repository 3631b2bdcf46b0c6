"""Mistakes that would train a model on the wrong thing: each is refused, or told in the report of the prepared set."""

from __future__ import annotations

import json

import pytest

from codex_core.data.splits import splitter
from codex_core.errors import InputError
from tests.support.data_plans import make_plan
from tests.support.preparing import files_below, run

ALL = [1, 0, 0]


def supervision(tmp_path, *sources, fault=None):
    """What the report of a prepared set says of supervision."""
    tokenizer = ("faulty", {"fault": fault}) if fault else ("bytes", {})
    prepared = run(tmp_path, make_plan(*sources, tokenizer=tokenizer, split=ALL))
    return json.loads((prepared.path / "report.json").read_bytes())["supervision"], prepared.manifest


def test_the_report_shows_what_is_learned(tmp_path):
    """Counts equal those of the manifest; the first documents' learned text is decoded, questions are not in it."""
    found, manifest = supervision(tmp_path, ("turns", {}))
    train = manifest["splits"]["train"]

    assert (found["documents"], found["tokens"], found["supervised"]) == (
        train["documents"],
        train["tokens"],
        train["supervised"],
    )
    assert found["supervised_share"] == f"{train['supervised'] / train['tokens']:.4f}"
    numbers = range(1, 4)
    assert found["preview"] == [{"id": f"talk {i}", "supervised": [f"answer {i}"]} for i in numbers]


def test_previews_name_their_documents_over_splits(tmp_path):
    """Where the training split has a single document, the previews go on with the next split's own ids."""
    rows = [{"text": f"text {i}"} for i in range(9)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    source = ("jsonl", {"path": str(tmp_path / "rows.jsonl")})
    split = [0.2, 0.8, 0]
    seed = next(seed for seed in range(99) if splits_of(rows, split, seed).count("train") == 1)
    prepared = run(tmp_path, make_plan(source, split=split, split_seed=seed))
    report = json.loads((prepared.path / "report.json").read_bytes())["supervision"]

    for shown in report["preview"]:
        line = int(shown["id"].rpartition(":")[2])
        assert shown["supervised"] == [rows[line - 1]["text"]]


def splits_of(rows, split, seed):
    """The split of each row."""
    return [splitter(split, seed=seed).split_of(row["text"], group=None) for row in rows]


@pytest.mark.parametrize(("fault", "found"), [("no-bos", "BOS"), ("two-bos", "with two BOS")])
def test_a_wrong_beginning_is_refused(tmp_path, fault, found):
    """A tokenizer that renders without BOS, or with two, ends preparing before a prepared set exists."""
    with pytest.raises(InputError, match=found) as caught:
        supervision(tmp_path, ("turns", {}), fault=fault)

    assert caught.value.code == "DAT-014"
    assert [
        name for name in files_below(tmp_path) if name.startswith("store/tokens/") and "manifest" in name
    ] == []


def test_eos_taken_for_padding_is_told(tmp_path):
    """Every document whose EOS is not learned although its text is stands in the count."""
    found, _ = supervision(tmp_path, ("turns", {}), fault="eos-as-pad")

    assert found["unsupervised_eos"] == found["documents"] == 12
    assert supervision(tmp_path, ("turns", {}))[0]["unsupervised_eos"] == 0


def test_rows_of_which_nothing_is_learned_are_counted(tmp_path):
    """All-masked rows are dropped under a reason of their own; when all are, preparing is refused."""
    said = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    rows = [{"messages": said[:1]}, {"messages": said}, {"messages": [*said[:1], {**said[1], "content": ""}]}]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    source = ("jsonl", {"path": str(tmp_path / "rows.jsonl"), "form": "messages"})

    found, manifest = supervision(tmp_path, source)
    assert manifest["rows"]["dropped"] == {"unsupervised": 2}
    assert found["documents"] == 1
    (tmp_path / "rows.jsonl").write_text(json.dumps(rows[0]))
    with pytest.raises(InputError, match="empty") as caught:
        supervision(tmp_path, source)
    assert "1 unsupervised" in str(caught.value)

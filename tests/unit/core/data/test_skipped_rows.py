"""What preparing says of rows that were skipped, and of rows of which nothing is learned."""

from __future__ import annotations

import json

import pytest

from codex_core.errors import InputError
from tests.support.data_plans import make_plan
from tests.support.preparing import files_below, run

LINES = [json.dumps({"text": f"text number {number}"}) for number in range(40)]


def write(tmp_path, *odd):
    """A file of rows with odd lines in between."""
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join([*LINES[:20], *odd, *LINES[20:], LINES[3]]) + "\n")
    return {"path": str(path), "on_error": "skip"}


def test_read_is_kept_and_dropped_and_skipped(tmp_path):
    """The account adds up, by reason, in the manifest and in the report."""
    options = write(tmp_path, "", "{", '{"text": 1}', '{"text": 2}')
    prepared = run(tmp_path, make_plan(("jsonl", options)))

    rows = prepared.manifest["rows"]
    assert rows == {
        "read": 45,
        "kept": 40,
        "dropped": {"duplicate": 1},
        "skipped": {"empty-line": 1, "not-json": 1, "wrong-type": 2},
    }
    assert json.loads((prepared.path / "report.json").read_bytes())["rows"] == rows


def test_skipping_what_is_not_there_gives_the_same_texts(tmp_path):
    """The kept documents are those of the file without the odd lines, and so is their digest."""
    odd = run(tmp_path, make_plan(("jsonl", write(tmp_path, "{", ""))))
    clean = run(tmp_path, make_plan(("jsonl", write(tmp_path))))

    assert odd.manifest["corpus"]["digest"] == clean.manifest["corpus"]["digest"]


@pytest.mark.parametrize(
    ("options", "code"), [({"on_error": "fail"}, "DAT-004"), ({"max_skip": 1}, "DAT-021")]
)
def test_what_may_not_be_skipped_stores_nothing(tmp_path, options, code):
    """An unreadable row, or one more than allowed, ends preparing before anything is stored."""
    given = {**write(tmp_path, "{", "["), **options}

    with pytest.raises(InputError) as caught:
        run(tmp_path, make_plan(("jsonl", given)))

    assert caught.value.code == code
    assert [name for name in files_below(tmp_path) if "manifest" in name] == []


def test_rows_without_supervision_are_refused_on_request(tmp_path):
    """With `unsupervised: refuse` the first such row ends preparing and is named."""
    plan = make_plan(("turns", {"fault": "unlearned"}), split=[1, 0, 0], unsupervised="refuse")

    with pytest.raises(InputError) as caught:
        run(tmp_path, plan)

    assert (caught.value.code, caught.value.where) == ("DAT-026", "talks:3")

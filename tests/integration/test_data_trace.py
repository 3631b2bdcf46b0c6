"""Which documents a step read, worked out from lock and prepared set: broken, resumed and unbroken runs alike."""

from __future__ import annotations

import json
from collections import defaultdict

import pytest

from tests.support.commands import Project, safety_line

CONFIG = """
schema: codex-run/1
run: {name: traced, seed: 5, log_every: 1 steps, threads: 1}
data:
  sources: [{name: pydoc, docstrings: false}]
  seq_len: 64
tokenizer: bytes
model: {name: ngram, order: 4}
trainer: {name: ngram, duration: 40 steps, batch_rows: 64}
checkpoint: {every: 6 steps}
evaluation: {every: 0 steps}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project with a run that nobody disturbed."""
    made = Project.make(tmp_path_factory.mktemp("trace"))
    (made.path / "run.yaml").write_text(CONFIG + safety_line())
    said = made.codex("train", "run.yaml", "--run-dir", "unbroken")
    assert said.code == 0, said.err
    return made


def killed(project, name):
    """A run that was killed in or after its seventh step."""
    run = project.path / name
    said = project.codex_until('"step":7,', "train", "run.yaml", "--run-dir", run, run=run)
    assert said.code == -9, f"the run ended before it could be killed: {said}"
    return run


def traced(project, run, *what):
    """The JSON of a trace."""
    said = project.codex("data", "trace", run, *(what or ("--step", "1..40")), "--json")
    assert said.code == 0, said.err
    return said.json


def metric_rows(run):
    """The metric rows of training."""
    lines = (run / "metrics.ndjson").read_text().splitlines()
    return [row for row in map(json.loads, lines) if row["split"] == "train"]


@pytest.mark.slow
def test_trace_of_a_resumed_run_is_that_of_the_unbroken_one(project):
    """Before the kill is mended, afterwards, and of a run that was never killed: the same documents, digest by digest.

    What it says is what was trained: its supervised tokens are those that the metric rows count.
    """
    unbroken = traced(project, "unbroken")
    run = killed(project, "killed")
    before = traced(project, run)
    assert "step 40 of 40 (not done yet)" in project.codex("data", "trace", run, "--step", "40").out
    resumed = project.codex("train", "--resume", run)
    assert resumed.code == 0, resumed.err
    after = traced(project, run)

    assert before["traced"] == unbroken["traced"] == after["traced"]
    assert 7 <= before["recorded"] < after["recorded"] == unbroken["recorded"] == 40
    assert len({step["digest"] for step in unbroken["traced"]}) == 40
    total = 0
    for step, row in zip(after["traced"], metric_rows(run), strict=True):
        total += step["supervised"]
        assert (row["step"], row["tokens"]) == (step["step"], total)


@pytest.mark.slow
def test_a_document_is_found_in_the_steps_that_read_it(project):
    """`--doc` gives exactly the pieces that the steps name, for a document with many."""
    pieces = defaultdict(list)
    for step in traced(project, "unbroken")["traced"]:
        for row in step["rows"]:
            for piece in row["pieces"]:
                held = (step["step"], row["position"], piece["first"], piece["tokens"])
                pieces[piece["document"]].append(held)
    document = max(pieces, key=lambda name: len(pieces[name]))

    seen = traced(project, "unbroken", "--doc", document)

    found = [(one["step"], one["position"], one["first"], one["tokens"]) for one in seen["sightings"]]
    assert len(found) > 20 and found == pieces[document]
    assert [(place["document"], place["split"]) for place in seen["found"]] == [(document, "train")]


@pytest.mark.slow
def test_documents_that_were_left_out_are_shown_as_such(project):
    """After `--resume --without` a document stays where it was; from the resume on, nothing of it is learned."""
    run = killed(project, "poisoned")
    before = traced(project, run)["traced"]
    document = before[20]["rows"][0]["pieces"][0]["document"]
    resumed = project.codex("train", "--resume", run, "--without", document)
    assert resumed.code == 0, resumed.err
    since = int(resumed.err.partition("resumed from checkpoints/step-")[2][:8])
    after = traced(project, run)["traced"]

    for old, new in zip(before, after, strict=True):
        for one, other in zip(old["rows"], new["rows"], strict=True):
            for was, now in zip(one["pieces"], other["pieces"], strict=True):
                is_out = was["document"] == document and new["step"] > since
                gone = was["supervised"] if is_out else 0
                assert now == {**was, "supervised": was["supervised"] - gone, "left_out": gone}
    seen = traced(project, run, "--doc", document)["sightings"]
    assert any(one["left_out"] for one in seen)
    assert all((one["left_out"] > 0) <= (one["step"] > since) for one in seen)

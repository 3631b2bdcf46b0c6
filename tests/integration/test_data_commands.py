"""Prepared data from the command line: made, sealed, verified, listed, tidied."""

from __future__ import annotations

import csv
import json
import os
import shutil

import pytest

from tests.support.commands import Project, safety_line

CONFIG = """\
schema: codex-run/1
run: {name: small, threads: 1}
data:
  sources: [{name: jsonl, path: rows.jsonl}]
  split: [0.8, 0.1, 0.1]
  seq_len: 32
tokenizer: bytes
model: {name: ngram, order: 2}
trainer: {name: ngram, duration: 1 epoch, batch_rows: 4}
"""

ROWS = [{"text": f"row {number % 50}: it says {number % 50 * 7}"} for number in range(60)]


@pytest.fixture
def project(tmp_path):
    """A project with sixty rows, ten of them twice, and a configuration."""
    made = Project.make(tmp_path / "project")
    (made.path / "run.yaml").write_text(CONFIG + safety_line())
    (made.path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return made


def asked(project, *words):
    """The JSON that a command prints."""
    done = project.codex(*words, "--json")
    assert done.code == 0, done.err
    return json.loads(done.out)


def test_a_second_preparation_says_that_it_found_the_first(project):
    """The same manifest, and one line on standard error."""
    first = project.codex("data", "prepare", "run.yaml")
    again = project.codex("data", "prepare", "run.yaml")

    assert (first.code, again.code) == (0, 0)
    assert first.out == again.out
    assert "found in the store" in again.err and "found in the store: nothing" not in first.err


@pytest.mark.slow
def test_chunks_seal_to_what_one_machine_prepares(project):
    """`--chunk` and `seal` in another store, and with other numbers of workers: the manifest of `prepare`."""
    whole = asked(project, "data", "prepare", "run.yaml")
    chunk = asked(project, "data", "prepare", "run.yaml", "--chunk", "1/1", "--store", "elsewhere")
    sealed = asked(project, "data", "seal", "run.yaml", "--store", "elsewhere", "--workers", "2")

    assert chunk["missing"] == 0 and chunk["has_tokens"]
    assert sealed["manifest"] == whole["manifest"]
    assert not (project.path / "elsewhere" / "jobs").exists()


@pytest.mark.parametrize("chunk", ["3", "2/1"])
def test_a_chunk_is_k_of_n(project, chunk):
    """Anything but K/N with 1 <= K <= N is a usage error."""
    done = project.codex("data", "prepare", "run.yaml", "--chunk", chunk)

    assert done.code == 2 and "error[DAT-034]" in done.err


@pytest.mark.slow
def test_sealing_too_early_is_refused(project):
    """Nothing was prepared for any chunk: exit code 4, and the command that makes what is missing."""
    done = project.codex("data", "seal", "run.yaml")

    assert done.code == 4 and "error[DAT-031]" in done.err and "--chunk 1/1" in done.err


@pytest.mark.slow
def test_rows_that_cannot_be_read_are_skipped_when_asked(project):
    """`--on-error skip --max-skip N` counts them by reason; one more than N is refused, and so is one by default."""
    rows = project.path / "rows.jsonl"
    rows.write_text(rows.read_text() + '{"text": 1}\n{"text": 2}\n')

    assert project.codex("data", "prepare", "run.yaml").code == 4
    assert project.codex("data", "prepare", "run.yaml", "--on-error", "skip", "--max-skip", "1").code == 4
    told = asked(project, "data", "prepare", "run.yaml", "--on-error", "skip", "--max-skip", "2")
    counts = told["manifest"]["rows"]
    assert sum(counts["skipped"].values()) == 2
    assert counts["read"] == 62 == counts["kept"] + sum(counts["dropped"].values()) + 2


@pytest.mark.slow
def test_a_changed_byte_is_caught_by_verify(project):
    """Size and time kept: `verify` of the set and of the store exit with 7 and name the file."""
    path = asked(project, "data", "prepare", "run.yaml")["path"]
    store = project.path / ".codex" / "store"
    verified = asked(project, "data", "verify", str(store))
    assert [one["path"] for one in verified["sets"]] == [path]
    changed = store / "tokens" / os.path.basename(path) / "train.tok"
    before, data = changed.stat(), bytearray(changed.read_bytes())
    data[3] ^= 1
    changed.write_bytes(data)
    os.utime(changed, ns=(before.st_atime_ns, before.st_mtime_ns))

    for place in (path, str(store)):
        done = project.codex("data", "verify", place)
        assert done.code == 7 and "train.tok" in done.err, done.err
    assert project.codex("train", "run.yaml").code == 7


@pytest.mark.slow
def test_the_index_lists_every_set(project):
    """One row per set, as JSON and CSV; paths are relative, so a store that was moved lists alike."""
    assert "no prepared sets" in project.codex("data", "index").out
    for length in (32, 48):
        assert project.codex("data", "prepare", "run.yaml", f"data.seq_len={length}").code == 0
    listed = asked(project, "data", "index", "--csv", "sets.csv")["sets"]
    with (project.path / "sets.csv").open(newline="") as file:
        table = list(csv.DictReader(file))

    assert [one["seq_len"] for one in sorted(listed, key=lambda one: one["seq_len"])] == [32, 48]
    assert {(one["documents"], one["duplicates"], one["rows_read"]) for one in listed} == {(50, 10, 60)}
    assert [row["fingerprint"] for row in table] == [one["fingerprint"] for one in listed]
    assert [int(row["splits.train"]) for row in table] == [one["splits"]["train"] for one in listed]
    moved = project.path / "moved"
    shutil.copytree(project.path / ".codex" / "store", moved)
    assert asked(project, "data", "index", "--store", str(moved))["sets"] == listed


@pytest.mark.slow
def test_only_what_nothing_refers_to_is_removed(project):
    """A set of a run stays with its texts and tokenizer; `--dry-run` removes nothing; the young stay by default."""
    assert project.codex("train", "run.yaml").code == 0
    assert project.codex("data", "prepare", "run.yaml", "data.seq_len=48").code == 0
    assert project.codex("data", "prepare", "run.yaml", "data.split_seed=3").code == 0
    store = project.path / ".codex" / "store"

    def sets():
        return {path.parent.relative_to(store).as_posix() for path in store.glob("*/*/manifest.json")}

    everything = sets()
    assert asked(project, "data", "gc")["freed_bytes"] == 0
    planned = asked(project, "data", "gc", "--dry-run", "--older-than", "0")
    unused = {f"{e['kind']}/{e['name']}": e["size_bytes"] for e in planned["entries"] if e["kept"] is None}
    assert sets() == everything
    done = asked(project, "data", "gc", "--older-than", "0")

    assert sorted(name.split("/")[0] for name in unused) == ["texts", "tokenizers", "tokens", "tokens"]
    assert sets() == everything - set(unused)
    assert done["freed_bytes"] == sum(unused.values())
    assert project.codex("data", "prepare", "run.yaml").err.count("found in the store") >= 1


@pytest.mark.slow
def test_what_chunks_refer_to_stays(project):
    """The parts of a set that was not sealed yet, and the tokenizer they were encoded with, are no garbage."""
    assert project.codex("data", "prepare", "run.yaml", "--chunk", "1/1").code == 0
    asked(project, "data", "gc", "--older-than", "0")

    assert project.codex("data", "seal", "run.yaml").code == 0


@pytest.mark.slow
def test_checksums_of_used_data_stand_in_each_run(project):
    """`data.json` of a run holds the manifest with source, shard and split digests, and its digest."""
    assert project.codex("train", "run.yaml", "--run-dir", "run").code == 0
    held = json.loads((project.path / "run" / "data.json").read_text())["manifest"]

    assert held["sources"][0]["identity"]["files"][0]["digest"].startswith("sha256:")
    assert all(shard["digest"].startswith("blake3:") for shard in held["shards"])
    assert all(counts["digest"].startswith("sha256:") for counts in held["splits"].values())
    assert str(project.path) not in json.dumps(held)


@pytest.mark.slow
def test_a_plan_can_be_estimated(project):
    """`plan --estimate` stores nothing, names each number that it did not count, and is near what `plan` counts."""
    estimated = asked(project, "plan", "run.yaml", "--estimate")["lock"]
    assert not (project.path / ".codex" / "store" / "tokens").exists()
    counted = asked(project, "plan", "run.yaml")["lock"]
    shown = project.codex("plan", "run.yaml", "--estimate").out

    assert {"splits.*.tokens", "splits.*.rows", "steps", "epochs", "vocab_size"} <= set(
        estimated["estimated"]
    )
    assert counted["estimated"] == []
    assert (
        estimated["data"]["splits"]["train"]["documents"] == counted["data"]["splits"]["train"]["documents"]
    )
    assert abs(estimated["steps"] / counted["steps"] - 1) < 0.1
    assert "sampled, not counted" in shown and "nothing was stored" in shown


@pytest.mark.slow
def test_safety_is_accounted_for_in_the_lock(project):
    """The lock of a run holds the policy's digest and its counts by rule; another policy is another data set."""
    examples = pytest.importorskip("codex_safety.examples")
    rows = project.path / "rows.jsonl"
    rows.write_text(
        rows.read_text() + json.dumps({"text": f"the key is {examples.ACCESS_KEY} and stays"}) + "\n"
    )
    config = project.path / "run.yaml"
    held = {}
    for action in ("redact", "block"):
        config.write_text(CONFIG + f"safety: {{name: secrets, action: {action}}}\n")
        assert project.codex("train", "run.yaml", "--run-dir", action).code == 0
        held[action] = json.loads((project.path / action / "lock.json").read_text())["data"]

    assert sum(held["redact"]["safety"]["matches"].values()) == 1
    assert (held["redact"]["safety"]["redacted"], held["block"]["safety"]["blocked"]) == (1, 1)
    assert held["redact"]["safety"]["fingerprint"] != held["block"]["safety"]["fingerprint"]
    assert held["redact"]["fingerprint"] != held["block"]["fingerprint"]

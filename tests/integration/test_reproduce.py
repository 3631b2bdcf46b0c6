"""`codex reproduce` and `codex runs verify` as a user has them: an untouched run, and what can be wrong with one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from codex_core.canonical import digest_of, readable_json, sha256_of
from tests.support.commands import Project, safety_line

SHARED = """
schema: codex-run/1
run: {name: again, seed: 3, log_every: 4 steps, threads: 1}
data:
  sources: [{name: text, path: corpus}]
  split: [0.8, 0.1, 0.1]
  seq_len: 64
evaluation: {every: 8 steps, max_documents: 3}
checkpoint: {every: 6 steps}
"""

DECODER = """
tokenizer: {name: bpe, vocab_size: 300}
model: {name: decoder, layers: 2, width: 32, heads: 2, dropout: 0.1}
trainer: {name: torch, duration: 20 steps, batch_rows: 4, micro_batch_rows: 2, warmup: 4 steps}
"""

NGRAM = """
tokenizer: bytes
model: {name: ngram, order: 4}
trainer: {name: ngram, duration: 20 steps, batch_rows: 4}
"""


def project_of(folder, config):
    project = Project.make(folder)
    (project.path / "corpus").mkdir()
    for number in range(40):
        text = " ".join(f"sentence {number * 7 % 11} of note {number}, part {part}." for part in range(12))
        (project.path / "corpus" / f"{number:02}.txt").write_text(text)
    (project.path / "run.yaml").write_text(SHARED + config + safety_line())
    said = project.codex("train", "run.yaml", "--run-dir", "first")
    assert said.code == 0, said.err
    return project


@pytest.fixture(scope="module", params=[NGRAM, DECODER], ids=["ngram", "decoder"])
def project(request, tmp_path_factory):
    """A project with a finished run."""
    if request.param is DECODER:
        pytest.importorskip("codex_models")
        pytest.importorskip("codex_tokenizers")
    return project_of(tmp_path_factory.mktemp("reproduce"), request.param)


@pytest.fixture(scope="module")
def ngram(tmp_path_factory):
    """A project with a finished run of the n-gram."""
    return project_of(tmp_path_factory.mktemp("tampered"), NGRAM)


@pytest.fixture
def copy(ngram, tmp_path):
    """The project with its run and its store, somewhere else."""
    shutil.copytree(ngram.path, tmp_path / "copy")
    return Project(tmp_path / "copy", ngram.environ)


def edit_lock(run, change):
    lock = json.loads((run / "lock.json").read_text())
    change(lock)
    (run / "lock.json").write_text(readable_json(lock))


def rewrite(run, change):
    """Rewrite the history of a run from end to end, with all its digests, as somebody who knows the format can."""
    (path,) = (run / "journal").iterdir()
    prev, lines = None, []
    for line in path.read_text().splitlines():
        row = json.loads(line)
        change(row)
        row["prev"] = prev
        line = json.dumps(row, ensure_ascii=False, separators=(",", ":"))
        prev = sha256_of(line.encode())
        lines.append(line + "\n")
    path.write_text("".join(lines))
    record = json.loads((run / "run.json").read_text())
    record["journal"]["tail"] = prev
    del record["digest"]
    (run / "run.json").write_text(readable_json({**record, "digest": digest_of(record)}))


@pytest.mark.slow
def test_untouched_run_is_identical(project):
    """Every step is compared, the repetition goes, and the run is not touched."""
    before = {path: path.read_bytes() for path in (project.path / "first").rglob("*") if path.is_file()}

    said = project.codex("reproduce", "@last", "--verify")

    assert (said.code, said.out) == (0, "identical for 20 of 20 steps\nthe repetition was removed\n"), (
        said.err
    )
    assert before == {
        path: path.read_bytes() for path in (project.path / "first").rglob("*") if path.is_file()
    }
    assert not list((project.path / "runs").glob("*again*"))


@pytest.mark.slow
def test_kept_repetition_is_a_run_with_the_same_numbers(ngram):
    """Without `--verify` the result stays: its metric views have the bytes of the run that it repeats."""
    said = ngram.codex("reproduce", "first", "--json")
    repetition = Path(said.json["repetition"])
    verified = ngram.codex("runs", "verify", repetition)
    shown = json.loads((repetition / "run.json").read_text())

    assert said.code == 0 and said.json["identical"], said.err
    for name in ("metrics.ndjson", "metrics.csv"):
        assert (repetition / name).read_bytes() == (ngram.path / "first" / name).read_bytes()
    assert verified.code == 0, verified.err
    assert shown["tags"] == {"reproduces": json.loads((ngram.path / "first" / "run.json").read_text())["id"]}
    shutil.rmtree(repetition)


@pytest.mark.slow
def test_history_that_was_rewritten_verifies_and_does_not_reproduce(project, tmp_path):
    """Digests cannot show it without the root digest; executing it again names the step and the tensor."""
    run = tmp_path / "rewritten"
    shutil.copytree(project.path / "first", run)
    root = project.codex("runs", "verify", run, "--json").json["root"]

    def change(row):
        if row["kind"] == "step_digest" and row["fields"]["step"] == 7:
            tensor = next(iter(row["fields"]["tensors"]))
            row["fields"]["parameters"] = "blake3:" + "0" * 64
            row["fields"]["tensors"][tensor] = "00000000"

    rewrite(run, change)
    verified = project.codex("runs", "verify", run, "--json")
    said = project.codex("reproduce", run, "--verify")

    assert verified.code == 0 and verified.json["root"] != root
    assert said.code == 1
    first, second, third = said.out.splitlines()
    assert first.startswith("differs at step 7 of 20: loss and gradient norm are equal; 1 of ")
    assert second == "identical for 6 of 20 steps, all before it"
    assert third.startswith("run: ")
    shutil.rmtree(third.removeprefix("run: "))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("entry", "change"),
    [
        ("threads", lambda lock: lock.update(threads=2)),
        ("seed", lambda lock: lock.update(seed=4)),
        ("environment.packages.numpy", lambda lock: lock["environment"]["packages"].update(numpy="1.0")),
    ],
)
def test_tampered_lock_is_named(copy, entry, change):
    """Both commands refuse with exit 7 and the entry, before anything is executed."""
    edit_lock(copy.path / "first", change)

    said = copy.codex("reproduce", "first", "--verify")
    verified = copy.codex("runs", "verify", "first")

    assert (said.code, verified.code) == (7, 7)
    assert f"lock.json, {entry}" in said.err and f"changed: {entry};" in verified.err


@pytest.mark.slow
def test_flipped_data_byte_is_named(copy):
    """A byte of the prepared set: exit 7 with the file, from both commands."""
    path = next(copy.path.glob(".codex/store/tokens/*/train*.tok"))
    data = bytearray(path.read_bytes())
    data[5] ^= 1
    path.write_bytes(data)

    said = copy.codex("reproduce", "first", "--verify")
    verified = copy.codex("runs", "verify", "first")

    assert (said.code, verified.code) == (7, 7)
    assert path.name in said.err and path.name in verified.err


@pytest.mark.slow
def test_data_is_prepared_again_where_the_store_is_gone(copy):
    """From the lock's sources to the same digest; a source with another byte, or none, is refused."""
    for folder in ("tokens", "texts", "tokenizers"):
        shutil.rmtree(copy.path / ".codex" / "store" / folder)
    again = copy.codex("reproduce", "first", "--verify")
    shutil.rmtree(copy.path / ".codex" / "store")
    (copy.path / "corpus" / "07.txt").write_text("another text")
    other = copy.codex("reproduce", "first", "--verify")
    shutil.rmtree(copy.path / ".codex" / "store")
    shutil.rmtree(copy.path / "corpus")
    gone = copy.codex("reproduce", "first", "--verify")

    assert again.code == 0 and again.out.startswith("identical for 20 of 20 steps"), again.err
    assert other.code == 7 and "error[RUN-012]" in other.err
    assert gone.code == 4 and "error[RUN-026]" in gone.err


@pytest.mark.slow
def test_run_that_went_on_longer_and_back_is_repeated_as_it_was(copy):
    """More steps in a second attempt, a document left out in a third: the newest record of each step comes again."""
    longer = copy.codex("train", "run.yaml", "trainer.duration=26 steps", "--resume", "first")
    back = copy.codex("train", "--resume", "first/checkpoints/step-00000024", "--without", "03.txt")
    assert longer.code == 0, longer.err
    assert back.code == 0, back.err

    said = copy.codex("reproduce", "first", "--verify")
    verified = copy.codex("runs", "verify", "first")

    assert (said.code, said.out.splitlines()[0]) == (0, "identical for 26 of 26 steps"), said.err
    assert verified.code == 0, verified.err
    assert "data.without: none -> 03.txt" in back.err


@pytest.mark.slow
def test_unknown_document_and_missing_resume_are_refused(copy):
    """A document that is not there: exit 4 with near names; `--without` without a resume: exit 2."""
    unknown = copy.codex("train", "--resume", "first/checkpoints/step-00000018", "--without", "03.text")
    (copy.path / "list.txt").write_text("03.txt\n\n")
    fresh = copy.codex("train", "run.yaml", "--without", "@list.txt")

    assert unknown.code == 4 and "did you mean 03.txt" in unknown.err
    assert fresh.code == 2 and "error[RUN-028]" in fresh.err

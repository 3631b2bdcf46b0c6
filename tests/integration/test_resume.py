"""Kill a training anywhere and resume it: everything that counts equals the unbroken run to the byte."""

from __future__ import annotations

import shutil

import pytest

from tests.support.commands import Project, final_state, safety_line

SHARED = """
schema: codex-run/1
run: {name: broken, seed: 3, log_every: 1 steps, threads: 1}
data:
  sources: [{name: pydoc, docstrings: false}]
  seq_len: 64
evaluation: {every: 8 steps, max_documents: 3}
"""

DECODER = """
tokenizer: {name: bpe, vocab_size: 512}
model: {name: decoder, layers: 2, width: 32, heads: 2, dropout: 0.1}
trainer: {name: torch, duration: 40 steps, batch_rows: 16, micro_batch_rows: 8, warmup: 4 steps}
checkpoint: {every: 6 steps}
"""

NGRAM = """
tokenizer: bytes
model: {name: ngram, order: 4}
trainer: {name: ngram, duration: 40 steps, batch_rows: 64}
checkpoint: {every: 6 steps}
"""


@pytest.fixture(scope="module", params=[NGRAM, DECODER], ids=["ngram", "decoder"])
def unbroken(request, tmp_path_factory):
    """A project with a configuration and a run that nobody disturbed."""
    if request.param is DECODER:
        pytest.importorskip("codex_models")
        pytest.importorskip("codex_tokenizers")
    project = Project.make(tmp_path_factory.mktemp("resume"))
    (project.path / "run.yaml").write_text(SHARED + request.param + safety_line())
    said = project.codex("train", "run.yaml", "--run-dir", "unbroken")
    assert said.code == 0, said.err
    return project


@pytest.mark.slow
@pytest.mark.parametrize("step", [3, 7, 17])
def test_resumed_run_equals_the_unbroken_one(unbroken, step):
    """Weights, optimizer, state and metric views after SIGKILL and resume have the bytes of the unbroken run."""
    run = unbroken.path / f"killed-{step}"
    killed = unbroken.codex_until(f'"step":{step},', "train", "run.yaml", "--run-dir", run, run=run)
    assert killed.code == -9, f"the run ended before it could be killed: {killed}"

    resumed = unbroken.codex("train", "--resume", run)

    assert resumed.code == 0, resumed.err
    assert final_state(run) == final_state(unbroken.path / "unbroken")


@pytest.mark.slow
def test_resume_finds_the_newest_unfinished_run_of_a_configuration(unbroken):
    """`--resume` alone continues what was killed, and says which run, from which step."""
    run = unbroken.path / "runs" / "auto"
    killed = unbroken.codex_until('"checkpoint_saved"', "train", "run.yaml", "--run-dir", run, run=run)
    assert killed.code == -9, f"the run ended before it could be killed: {killed}"

    said = unbroken.codex("train", "run.yaml", "--resume")

    assert said.code == 0, said.err
    assert str(run) in said.err
    assert "resumed from checkpoints/step-000000" in said.err
    assert final_state(run) == final_state(unbroken.path / "unbroken")


@pytest.mark.slow
def test_resume_passes_over_a_corrupt_checkpoint_aloud(unbroken):
    """A flipped byte in the newest checkpoint is told, the one before is taken, and the result is the same."""
    run = unbroken.path / "flipped"
    killed = unbroken.codex_until('"step":20,', "train", "run.yaml", "--run-dir", run, run=run)
    assert killed.code == -9, f"the run ended before it could be killed: {killed}"
    newest = max(run.glob("checkpoints/step-*[0-9]"))
    payload = max((newest / "model").iterdir(), key=lambda path: path.stat().st_size)
    data = bytearray(payload.read_bytes())
    data[len(data) // 2] ^= 1
    payload.write_bytes(data)

    named = unbroken.codex("checkpoint", "verify", newest)
    resumed = unbroken.codex("train", "--resume", run)

    assert named.code == 7 and payload.name in named.err
    assert resumed.code == 0, resumed.err
    assert f"passed over checkpoints/{newest.name}" in resumed.err
    assert final_state(run) == final_state(unbroken.path / "unbroken")


@pytest.mark.slow
def test_run_directory_can_be_moved_before_it_is_resumed(unbroken):
    """No path inside a run points outside it, so that a moved run continues like any other."""
    run, moved = unbroken.path / "before", unbroken.path / "elsewhere" / "after"
    killed = unbroken.codex_until('"step":9,', "train", "run.yaml", "--run-dir", run, run=run)
    assert killed.code == -9, f"the run ended before it could be killed: {killed}"
    moved.parent.mkdir()
    shutil.move(run, moved)

    said = unbroken.codex("train", "--resume", moved)

    assert said.code == 0, said.err
    assert final_state(moved) == final_state(unbroken.path / "unbroken")

"""The workflow script of the examples, run as a user would run it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.commands import safety_line

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parents[2] / "examples" / "workflow" / "train_and_score.py"

CONFIG = """\
run: {{name: tiny, log_every: 1, threads: 1}}
data:
  sources: [{{name: text, path: corpus.txt, document: paragraph}}]
  split: [0.6, 0.2, 0.2]
  seq_len: 32
tokenizer: bytes
model: {model}
trainer: {trainer}
checkpoint: {{every: 2}}
evaluation: {{every: 2}}
{safety}
"""


@pytest.fixture
def workflow(tmp_path):
    """A function that runs the script over a tiny set, with these arguments."""
    text = "\n\n".join(f"Paragraph {number} says {number * 7919 % 97} and ends." for number in range(40))
    (tmp_path / "corpus.txt").write_text(text, encoding="utf-8")
    model, trainer = "{name: ngram, order: 3}", "{name: ngram, duration: 3 epochs, batch_rows: 4}"

    def go(*arguments: str, model: str = model, trainer: str = trainer) -> subprocess.CompletedProcess[str]:
        config = CONFIG.format(model=model, trainer=trainer, safety=safety_line())
        (tmp_path / "run.yaml").write_text(config, encoding="utf-8")
        environ = {**os.environ, "CODEX_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, str(SCRIPT), "run.yaml", *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)

    return go


def test_workflow_trains_scores_and_verifies(workflow, tmp_path):
    """Planned, trained for the epochs asked for, scored and verified in the given folder; then only scored."""
    done = workflow("--art-dir", "out", "--epochs", "2", "--batch-rows", "8")
    assert done.returncode == 0, done.stderr
    lock = json.loads((tmp_path / "out" / "lock.json").read_text())
    assert lock["epochs"] == pytest.approx(2, abs=0.5) and lock["batch_rows"] == 8
    assert json.loads((tmp_path / "out" / "run.json").read_text())["status"] == "finished"
    again = workflow("--art-dir", "out")
    assert again.returncode == 0 and "$ codex train" not in again.stderr
    assert "$ codex runs verify out" in again.stderr


def test_workflow_accumulates_gradients(workflow, tmp_path):
    """`--grad-accum` divides the rows of a step; what does not divide is refused before anything runs."""
    pytest.importorskip("codex_models")
    model = "{name: decoder, layers: 1, width: 16, heads: 2}"
    trainer = "{name: torch, duration: 2 steps, warmup: 1, batch_rows: 4}"
    sizes = ("--art-dir", "out", "--batch-rows", "4")
    done = workflow(*sizes, "--grad-accum", "2", "--dry-run", model=model, trainer=trainer)
    assert done.returncode == 0, done.stderr
    assert "batch_rows=4" in done.stdout and "micro_batch_rows=2" in done.stdout
    refused = workflow("--art-dir", "other", "--batch-rows", "4", "--grad-accum", "3")
    assert refused.returncode == 1 and "must divide" in refused.stderr and not (tmp_path / "other").exists()


def test_workflow_dry_run_trains_nothing(workflow, tmp_path):
    """A dry run shows the plan and leaves no run behind."""
    done = workflow("--art-dir", "out", "--epochs", "1", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "epochs of" in done.stdout + done.stderr and not (tmp_path / "out").exists()


def test_workflow_ends_with_the_code_of_what_failed(workflow, tmp_path):
    """A configuration that is wrong ends the script with codex's own exit code, before training."""
    done = workflow("--art-dir", "out", "trainer.no_such_key=1")
    assert done.returncode == 2 and "no_such_key" in done.stderr and not (tmp_path / "out").exists()

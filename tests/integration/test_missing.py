"""What a user sees when something optional is not there: a sentence, an install line, and what still works."""

from __future__ import annotations

import pytest

from tests.support.commands import Project, safety_line

DECODER = """
schema: codex-run/1
run: {name: guarded}
data:
  sources: [{name: pydoc, docstrings: false}]
  seq_len: 64
tokenizer: {name: bpe, vocab_size: 512}
model: {name: decoder, layers: 1, width: 32, heads: 2}
trainer: {name: torch, duration: 4 steps, batch_rows: 4, warmup: 1 steps}
"""


@pytest.fixture
def project(tmp_path):
    """A project whose configuration names the decoder, in an installation that has everything."""
    for name in ("codex_models", "codex_tokenizers", "torch"):
        pytest.importorskip(name)
    project = Project.make(tmp_path / "project")
    (project.path / "run.yaml").write_text(DECODER + safety_line())
    return project


@pytest.mark.slow
def test_training_without_torch_is_refused_with_the_install_line(project):
    """Exit 3, the library and how to get it, no traceback, no run folder, and one row in the project's journal."""
    said = project.without("torch").codex("train", "run.yaml")

    assert said.code == 3
    assert "torch" in said.err and "pip install" in said.err
    assert "Traceback" not in said.err
    assert not (project.path / "runs").exists()
    failures = [row for row in project.rows() if row["kind"] == "failure"]
    assert [row["exit_code"] for row in failures] == [3]


@pytest.mark.slow
def test_plan_without_torch_is_complete(project):
    """`--dry-run` says steps, tokens, memory and data without torch, says that it is one, and trains nothing."""
    said = project.without("torch").codex("train", "run.yaml", "--dry-run")

    assert said.code == 0, said.err
    assert said.out.startswith("DRY RUN")
    assert "4 steps" in said.out and "tokens" in said.out and "memory" in said.out
    assert "torch" in said.err
    assert not (project.path / "runs").exists()


@pytest.mark.slow
def test_plan_without_codex_models_tells_what_it_can(project):
    """Data and token counts are real, the model is `not installed` with its install line, exit 3."""
    said = project.without("codex_models", "codex-models").codex("train", "run.yaml", "--dry-run")

    assert said.code == 3
    assert "tokens" in said.out and "documents" in said.out
    assert "model: not installed" in said.err and "codex-models" in said.err
    assert "Traceback" not in said.err


@pytest.mark.slow
def test_core_alone_lists_trains_and_generates(project):
    """Without any sibling and without torch the demo runs the n-gram for real."""
    siblings = ("codex_models", "codex_safety", "codex_telemetry", "codex_tokenizers")
    core = project.without("torch", "tokenizers", "structlog", "psutil", *siblings)

    listed = core.codex("registry", "list", "--json")
    demo = core.codex("demo", "--json")
    sampled = core.codex("generate", "--model", "@last", "--max-new-tokens", "8", "The")

    assert {row["dist"] for row in listed.json["rows"]} == {"codex-core"}
    assert demo.code == 0, demo.err
    bits = {score["name"]: score["bits_per_byte"] for score in demo.json["scores"]}
    assert 0.5 < bits["codex-core/ngram"] < bits["xz -9e, test alone"]
    assert sampled.code == 0 and sampled.out.startswith("The")

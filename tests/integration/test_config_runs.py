"""What a run keeps of its configuration: enough to run again to the same hash, and nothing of the environment."""

from __future__ import annotations

import json

import pytest

from codex_core.cli.main import main
from tests.support.commands import Project, safety_line

RUN = """\
schema: codex-run/1
run: {name: small, log_every: 1, threads: 1}
data:
  sources:
    - name: text
      path: "${env:CORPUS}/corpus.txt"
      document: paragraph
  split: [0.6, 0.2, 0.2]
  seq_len: 32
tokenizer: bytes
model: {name: ngram, order: 3}
trainer: {name: ngram, duration: 1 epoch, batch_rows: 8}
evaluation: {every: 2}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A project, and a corpus elsewhere whose place only the environment knows."""
    secret = tmp_path / "a-place-of-my-own"
    secret.mkdir()
    paragraphs = [f"Document number {number} says {'so ' * (number % 7)}much." for number in range(60)]
    (secret / "corpus.txt").write_text("\n\n".join(paragraphs))
    project = Project.make(tmp_path / "project")
    (project.path / "run.yaml").write_text(RUN + safety_line())
    monkeypatch.chdir(project.path)
    monkeypatch.setenv("CORPUS", str(secret))
    return project.path


def recorded(run) -> dict:
    return json.loads((run / "run.json").read_text())


@pytest.mark.slow
def test_the_configuration_of_a_run_runs_again_to_the_same_hash(folder):
    """Overrides and `--seed` are in it: its hash and every metric row are those of the first run."""
    changes = ["model.order=2", "+writers=csv", "~trainer.batch_rows"]
    assert main(["train", "run.yaml", *changes, "--seed", "7", "--run-dir", "one"]) == 0
    assert main(["train", "-c", "one/config.yaml", "--run-dir", "two"]) == 0

    one, two = folder / "one", folder / "two"
    assert recorded(one)["config_hash"] == recorded(two)["config_hash"]
    assert (one / "config.yaml").read_bytes() == (two / "config.yaml").read_bytes()
    assert (one / "metrics.ndjson").read_bytes() == (two / "metrics.ndjson").read_bytes()
    lock = json.loads((one / "lock.json").read_text())
    assert lock["seed"] == lock["config"]["run"]["seed"] == 7 and lock["config"]["model"]["order"] == 2


@pytest.mark.slow
def test_the_seed_of_the_command_line_is_told_and_beats_the_file(folder, capsys):
    """The plan names the seed and where it came from, and the run records it."""
    assert main(["train", "run.yaml", "run.seed=3", "--seed", "7", "--run-dir", "one"]) == 0
    assert json.loads((folder / "one" / "environment.json").read_text())["seed"] == 7
    capsys.readouterr()
    assert main(["plan", "run.yaml", "--seed", "7", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["lock"]["seed"] == 7


@pytest.mark.slow
def test_the_environment_is_in_no_artefact(folder, tmp_path):
    """Run directory and store hold the reference, never the folder that it stands for."""
    assert main(["train", "run.yaml", "--run-dir", "one"]) == 0
    assert "${env:CORPUS}/corpus.txt" in (folder / "one" / "config.yaml").read_text()
    place = b"a-place-of-my-own"
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 20
    assert [path for path in files if place in path.read_bytes()] == []


@pytest.mark.slow
def test_the_run_of_another_machine_is_resumed_there_with_its_own_variable(folder, tmp_path, monkeypatch):
    """A folder that moved is no other configuration: the hash is the same, and the data is found in the store."""
    assert main(["train", "run.yaml", "--run-dir", "one"]) == 0
    moved = tmp_path / "moved"
    (tmp_path / "a-place-of-my-own").rename(moved)
    monkeypatch.setenv("CORPUS", str(moved))
    assert main(["train", "run.yaml", "--run-dir", "two"]) == 0
    assert recorded(folder / "one")["config_hash"] == recorded(folder / "two")["config_hash"]
    locks = [json.loads((folder / name / "lock.json").read_text()) for name in ("one", "two")]
    assert locks[0]["data"] == locks[1]["data"]


@pytest.mark.slow
def test_a_variable_that_is_not_set_stops_before_the_run(folder, monkeypatch, capsys):
    """Exit 4 with the variable's name, and no run directory is left."""
    monkeypatch.delenv("CORPUS")
    assert main(["train", "run.yaml", "--run-dir", "one"]) == 4
    assert "error[CFG-016]: the environment variable CORPUS is not set" in capsys.readouterr().err
    assert not (folder / "one").exists()


@pytest.mark.slow
def test_an_artefact_folder_holds_all_outputs(folder):
    """`--art-dir x/` puts everything of the run under x; without it the run stands under `runs/` as ever."""
    assert main(["train", "run.yaml", "--art-dir", "x/"]) == 0
    assert {"run.json", "config.yaml", "lock.json", "metrics.csv", "checkpoints", "journal"} <= {
        path.name for path in (folder / "x").iterdir()
    }
    assert not (folder / "runs").exists()
    assert main(["train", "run.yaml"]) == 0
    (run,) = (folder / "runs").iterdir()
    assert recorded(run)["config_hash"] == recorded(folder / "x")["config_hash"]

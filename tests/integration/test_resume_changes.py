"""What is asked of a run that continues: overrides without a configuration change the run's own."""

from __future__ import annotations

import json

import pytest

from codex_core.cli.main import main
from tests.support.commands import safety_line

pytestmark = pytest.mark.slow

RUN = """\
run: {name: small, log_every: 1, threads: 1}
data:
  sources: [{name: text, path: corpus.txt, document: paragraph}]
  split: [0.6, 0.2, 0.2]
  seq_len: 32
tokenizer: bytes
model: {name: ngram, order: 3}
trainer: {name: ngram, duration: 1 epoch, batch_rows: 4}
checkpoint: {every: 2}
evaluation: {every: 2}
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """The folder of a finished run, in a project of its own."""
    (tmp_path / ".codex").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CODEX_HOME", str(tmp_path / "home"))
    text = "\n\n".join(f"Paragraph {number} says {number * 7919 % 97} and ends." for number in range(20))
    (tmp_path / "corpus.txt").write_text(text)
    (tmp_path / "run.yaml").write_text(RUN + safety_line())
    assert main(["-q", "train", "run.yaml", "--run-dir", "out"]) == 0
    return tmp_path / "out"


def test_overrides_of_a_resume_need_no_configuration(run):
    """More steps and a lower promise are taken from the command line alone, on top of the run's own configuration."""
    before = json.loads((run / "lock.json").read_text())

    code = main(["-q", "train", "--resume", str(run), "trainer.duration=2 epochs", "run.exactness=L0"])

    after = json.loads((run / "lock.json").read_text())
    assert code == 0 and after["steps"] > before["steps"]
    assert (before["exactness"], after["exactness"]) == ("L1", "L0")
    assert json.loads((run / "run.json").read_text())["step"] == after["steps"]


@pytest.mark.parametrize("change", [("--seed", "9"), ("run.exactness=L2",), ("data.seq_len=16",)], ids=str)
def test_what_a_resume_cannot_change_is_refused_and_not_ignored(run, change, capsys):
    """Another seed, a higher promise and other rows make another run, whether a configuration was named or not."""
    before = (run / "lock.json").read_text()

    assert main(["-q", "train", "--resume", str(run), "trainer.duration=2 epochs", *change]) == 2

    assert "RUN-007" in capsys.readouterr().err
    assert (run / "lock.json").read_text() == before

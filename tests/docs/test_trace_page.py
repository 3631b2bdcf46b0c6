"""The guide to tracing is run as it is printed."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from codex_core.cli.main import main
from tests.support import sockets
from tests.support.commands import safety_line

PAGE = Path(sockets.REPOSITORY) / "docs" / "how-to" / "trace-a-document.md"

RUN = """schema: codex-run/1
run: {name: traced, threads: 1}
data: {sources: [{name: text, path: corpus}], seq_len: 48}
tokenizer: bytes
model: {name: ngram, order: 2}
trainer: {name: ngram, duration: 8 steps, batch_rows: 2}
evaluation: {every: 0 steps}
"""


@pytest.mark.slow
def test_every_command_of_the_guide_runs(tmp_path, monkeypatch, capsys):
    """In a project with one run each ends well; the document that it names is read by steps of that run."""
    for folder in (".codex", "corpus"):
        (tmp_path / folder).mkdir()
    for number in range(1, 25):
        text = f"Document number {number}: it says little, and little more."
        (tmp_path / "corpus" / f"{number:02}.txt").write_text(text)
    (tmp_path / "run.yaml").write_text(RUN + safety_line())
    monkeypatch.chdir(tmp_path)
    assert main(["train", "run.yaml"]) == 0
    capsys.readouterr()
    lines = [
        line
        for block in re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
        for line in block.splitlines()
    ]

    assert len(lines) == 3
    for line in lines:
        words = shlex.split(line)
        assert main(words[1:]) == 0, line
        said = capsys.readouterr().out
        assert (
            "04.txt" in said
            if "--doc" in line
            else "digest" in said or said.startswith("step 3 of 8: 2 rows")
        )
        if "--json" in line:
            assert [step["step"] for step in json.loads(said)["traced"]] == [1, 2, 3, 4, 5]

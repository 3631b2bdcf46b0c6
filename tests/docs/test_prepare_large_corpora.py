"""The commands of the page on large corpora work as printed, in their order."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.integration.test_data_commands import CONFIG, ROWS
from tests.support.commands import Project, safety_line

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "prepare-large-corpora.md"


@pytest.mark.slow
def test_commands_of_the_page_run_in_order(tmp_path):
    """Each `sh` block runs in one project; preparing again finds the set, the sealed set has the same fingerprint."""
    project = Project.make(tmp_path / "project")
    (project.path / "run.yaml").write_text(CONFIG + safety_line())
    (project.path / "rows.jsonl").write_text("".join(f'{{"text": "{row["text"]}"}}\n' for row in ROWS))
    (project.path / "big-disk").mkdir()
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    lines = [line for block in blocks for line in block.splitlines()]
    prepared = set()
    for line in lines:
        done = project.codex(*shlex.split(line)[1:])
        assert done.code == 0, (line, done.err)
        prepared |= set(re.findall(r"^prepared +(\S+)", done.out, re.M))

    assert len(lines) == 9
    assert len(prepared) == 2  # `--on-error skip` may change what is read, so it is another set
    assert not (project.path / "shared" / "jobs").exists()

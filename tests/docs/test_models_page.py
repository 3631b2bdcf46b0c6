"""The page about models in Hugging Face form: its commands run, and its table of sizes is the one of the sources."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from codex_core.cli.main import main

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.mark.slow
def test_commands_of_the_page_run_one_after_another(tmp_path, monkeypatch, capsys):
    """Every line with a prompt works in an empty project, but for the one that needs a prepared set."""
    for name in ("codex_models", "codex_tokenizers", "transformers"):
        pytest.importorskip(name)
    (tmp_path / ".codex").mkdir()
    monkeypatch.chdir(tmp_path)
    text = (DOCS / "how-to" / "use-hugging-face-models.md").read_text()
    lines = [line for line in re.findall(r"^\$ codex (.+)$", text, re.M) if " SET " not in line]
    texts = []
    for line in lines:
        assert main(shlex.split(line)) == 0, capsys.readouterr().err
        texts.append(capsys.readouterr().out)

    generated = [said for line, said in zip(lines, texts, strict=True) if line.startswith("generate")]
    assert len(generated) == 2 and generated[0] == generated[1]


def test_sizes_of_the_page_are_those_of_the_sources():
    """The table of sizes holds every size with its numbers."""
    pytest.importorskip("codex_models")
    from codex_models.sizes import SIZES

    text = (DOCS / "reference" / "model-directories.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| (\d+) \| (\d+) \| (\d+) \| (true|false) \|$", text, re.M)
    assert {row[0]: (*map(int, row[1:5]), row[5] == "true") for row in rows} == {
        name: tuple(size) for name, size in SIZES.items()
    }

"""The guide to one's own data is run as it is printed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from codex_core.cli.main import main
from tests.support import sockets

PAGE = Path(sockets.REPOSITORY) / "docs" / "how-to" / "bring-your-own-data.md"

FILE = re.compile(r"`([\w.]+)`:\n\n```\w+\n(.*?)```", re.DOTALL)
COMMANDS = re.compile(r"```sh\n(.*?)```", re.DOTALL)


def test_every_command_of_the_guide_runs(tmp_path, monkeypatch, capsys):
    """Its files are written, its commands are run in order, and each ends well and says something."""
    text = PAGE.read_text(encoding="utf-8")
    (tmp_path / ".codex").mkdir()
    for name, content in FILE.findall(text):
        (tmp_path / name).write_text(content, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    lines = [line for block in COMMANDS.findall(text) for line in block.splitlines()]

    assert sorted(path.name for path in tmp_path.glob("*.*")) == [
        ".codex",
        "chats.jsonl",
        "run.yaml",
        "table.csv",
    ]
    assert len(lines) == 6
    for line in lines:
        words = shlex.split(line)
        assert words[0] == "codex"
        code = main(words[1:])
        said = capsys.readouterr()
        assert code == 0, f"{line}\n{said.err}"
        assert said.out


def test_the_guide_shows_what_is_learned(tmp_path, monkeypatch, capsys):
    """The preview of the guide's conversation has the assistant's words in brackets, and only these."""
    ((name, content), *_) = FILE.findall(PAGE.read_text(encoding="utf-8"))
    (tmp_path / name).write_text(content, encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    assert main(["data", "preview", name, "--format", "messages", "--rows", "1"]) == 0
    assert re.findall(r"\[(.*?)\]", capsys.readouterr().out) == ["Seven."]


@pytest.mark.parametrize("name", ["jsonl", "csv", "parquet", "hf-saved", "text", "directory", "pydoc"])
def test_every_dataset_stands_in_the_reference(name):
    """The table of datasets has a row for each that the room offers."""
    reference = PAGE.parents[1] / "reference" / "data.md"

    assert f"| `{name}` |" in reference.read_text(encoding="utf-8")


def test_every_word_of_skipped_rows_stands_in_the_reference():
    """A reason under which the readers count rows is explained."""
    sources = Path(sockets.REPOSITORY) / "packages" / "codex-core" / "src" / "codex_core" / "data"
    reference = (PAGE.parents[1] / "reference" / "data.md").read_text(encoding="utf-8")
    words = set()
    for path in sources.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        words |= set(re.findall(r'RowFault\(\s*"DAT-\d+",\s*"([a-z0-9-]+)"', text))
        words |= set(re.findall(r'(?:_not_a_row|_not_csv)\("([a-z0-9-]+)"', text))

    assert len(words) >= 8
    assert {word for word in words if f"`{word}`" not in reference} == set()

"""Help texts hold examples, and every example runs as it is printed."""

from __future__ import annotations

import io
import json
import shutil

import pytest

from codex_core.cli.main import main
from tests.support import scratch

#: Examples whose answer depends on what is installed around the suite: `no` is an answer, too.
MAY_SAY_NO = (
    "codex registry list --check",
    "codex registry doctor --json --check",
    "codex doctor",
    "codex doctor --quick --json",
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A project that all examples of this process start from."""
    for name in ("codex_models", "torch"):
        pytest.importorskip(name)
    return scratch.make(tmp_path_factory.mktemp("scratch") / "project").path


@pytest.fixture
def folder(made, tmp_path, monkeypatch):
    """A copy of the project, and the working directory."""
    copy = tmp_path / "project"
    shutil.copytree(made, copy, symlinks=True)
    monkeypatch.chdir(copy)
    return copy


def test_every_help_text_has_examples_before_everything_but_its_first_words():
    """What a command does in a sentence, then examples, then the rest; groups and commands alike."""
    lacking = [node.name for node in scratch.nodes() if not node.examples()]
    late = [
        node.name for node in scratch.nodes() if not node.paragraphs()[1].lstrip().startswith("Examples:")
    ]

    assert (lacking, late) == ([], [])


def test_every_option_says_what_it_does():
    """No option stands in a help text without a word."""
    silent = [
        f"{node.name} {option.opts[0]}"
        for node in scratch.nodes()
        for option in node.options
        if not option.help
    ]

    assert silent == []


def test_examples_are_of_the_command_that_shows_them():
    """An example of a command calls that command somewhere, not only others."""
    strangers = [
        node.name
        for node in scratch.nodes()
        if not any(line.startswith(node.name) for line in node.examples())
    ]

    assert strangers == []


@pytest.mark.slow
@pytest.mark.parametrize("line", scratch.examples())
def test_example_runs_as_printed(line, folder, monkeypatch, capsys):
    """The example ends well and no traceback is shown; its answer is on stdout, if it has one."""
    *before, last = line.split(" | ")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"")))
    for stage in before:  # a pipe: what one command prints is what the next one reads
        assert main(scratch.arguments_of(stage, folder)) == 0
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(capsys.readouterr().out.encode())))
    words = scratch.arguments_of(last, folder)
    scratch.make_way(words, folder)
    code = main(words)

    said = capsys.readouterr()
    assert code in ((0, 1) if line in MAY_SAY_NO else (0,)), said.err
    assert "Traceback" not in said.out + said.err
    if "--json" in line:
        json.loads(said.out)

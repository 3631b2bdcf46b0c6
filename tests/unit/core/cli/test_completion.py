"""Completion scripts: they know every command and option, and bash runs them without Python."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from codex_core.cli.main import main


@pytest.fixture
def script(capsys):
    """The script for a shell."""

    def of(shell):
        assert main(["completion", shell]) == 0
        return capsys.readouterr().out

    return of


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_script_knows_commands_subcommands_options_and_choices(shell, script):
    """Whatever can follow a command stands in the script."""
    text = script(shell)

    for word in ("registry", "registry list", "--resume-or-start", "tokenizers", "--progress"):
        assert word in text


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_script_is_accepted_by_its_shell(shell, script, tmp_path):
    """The shell reads the script without complaint, where the shell is installed."""
    program = shutil.which(shell)
    if program is None:
        assert script(shell).startswith("#")
        return
    (tmp_path / "script").write_text(script(shell))

    done = subprocess.run([program, "-n", tmp_path / "script"], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["codex", "reg"], ["registry"]),
        (["codex", "registry", "sh"], ["show"]),
        (["codex", "-q", "registry", "list", "tok"], ["tokenizers"]),
        (["codex", "train", "run.yaml", "--resume-"], ["--resume-or-start"]),
    ],
    ids=" ".join,
)
def test_bash_completes_what_was_begun(words, offered, script, tmp_path):
    """Commands, subcommands, choices and options, wherever global flags and files stand."""
    bash = shutil.which("bash")
    assert bash is not None, "bash is what this test runs"
    (tmp_path / "script").write_text(script("bash"))
    listed = " ".join(words)
    asked = (
        f"source ./script; COMP_WORDS=({listed}); COMP_CWORD={len(words) - 1}; _codex; echo ${{COMPREPLY[@]}}"
    )

    done = subprocess.run([bash, "-c", asked], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert (done.stdout.split(), done.stderr) == (offered, "")

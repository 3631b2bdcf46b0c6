"""What surrounds every command: crashes, interrupts, suggestions, progress as asked, streams."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from codex_core.cli import evaluate as evaluate_command
from codex_core.cli import generate as generate_command
from codex_core.cli.main import main
from codex_core.cli.session import split_flags
from tests.support.commands import safety_line

CONFIG = """\
schema: codex-run/1
run: {name: small, threads: 1}
data: {sources: [{name: text, path: corpus}], split: [0.6, 0.2, 0.2], seq_len: 32}
tokenizer: bytes
model: {name: ngram, order: 3}
trainer: {name: ngram, duration: 20 steps, batch_rows: 2}
evaluation: {every: 10 steps}
"""


def project(path):
    """A project with a small configuration for the n-gram."""
    (path / ".codex").mkdir(parents=True)
    (path / "corpus").mkdir()
    for number in range(20):
        (path / "corpus" / f"{number:02}.txt").write_text(f"Document {number} says little. " * (number + 3))
    (path / "run.yaml").write_text(CONFIG)
    return path


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A project as the working directory."""
    monkeypatch.chdir(project(tmp_path / "project"))
    return tmp_path / "project"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A project with one finished run, trained with whatever policy is installed or none; to be copied."""
    path = project(tmp_path_factory.mktemp("finished") / "project")
    with (path / "run.yaml").open("a") as file:
        file.write(safety_line())
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        assert main(["train", "run.yaml", "--run-dir", "run"]) == 0
    return path


@pytest.fixture
def trained(finished, tmp_path, monkeypatch):
    """A copy of the project with a finished run, as the working directory."""
    shutil.copytree(finished, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


def boom(*args, **kwargs):
    raise RuntimeError("planted: token=hunter2hunter2")


def test_a_bug_is_exit_70_with_a_crash_file_and_no_traceback(folder, monkeypatch, capsys):
    """The traceback goes into a file of the project; the terminal shows a sentence and where the file is."""
    monkeypatch.setattr("codex_core.runs.all_runs", boom)

    code = main(["runs", "list"])

    said = capsys.readouterr()
    (crash,) = (folder / ".codex").glob("crash-*.txt")
    assert code == 70 and said.out == ""
    assert "error[BUG-001]" in said.err and str(crash) in said.err and "Traceback" not in said.err
    assert "Traceback" in crash.read_text() and "planted" in crash.read_text()


def test_a_bug_with_debug_shows_the_traceback(folder, monkeypatch, capsys):
    """`--debug` shows what the crash file would hold."""
    monkeypatch.setattr("codex_core.runs.all_runs", boom)

    assert main(["runs", "list", "--debug"]) == 70
    assert "Traceback" in capsys.readouterr().err


def test_a_bug_as_json_leaves_stdout_to_data(folder, monkeypatch, capsys):
    """A program that reads stdout gets the error as data."""
    monkeypatch.setattr("codex_core.runs.all_runs", boom)

    assert main(["runs", "list", "--json"]) == 70
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "BUG-001"


@pytest.mark.parametrize(
    ("module", "name", "arguments"),
    [
        (evaluate_command, "evaluate_split", ["evaluate", "--checkpoint", "run"]),
        (generate_command, "continued", ["generate", "--model", "run", "It"]),
    ],
    ids=["evaluating", "generating"],
)
def test_ctrl_c_while_a_model_works_is_quiet(module, name, arguments, trained, monkeypatch, capsys):
    """One Ctrl-C ends evaluation and generation at once: exit 130, one word, nothing on stdout."""
    monkeypatch.setattr(module, name, lambda *args, **kwargs: signal.raise_signal(signal.SIGINT))

    code = main(arguments)

    said = capsys.readouterr()
    assert (code, said.out) == (130, "")
    assert said.err.splitlines()[-1] == "interrupted" and "Traceback" not in said.err


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["trian", "run.yaml"], "train"),
        (["registry", "lst"], "list"),
        (["train", "run.yaml", "--resum"], "--resume"),
        (["demo", "--preset", "quik"], "quick"),
        (["registry", "list", "tokenizer"], "tokenizers"),
        (["--progress", "jsn", "runs", "list"], "json"),
        (["train", "run.yaml", "trainer.batchrows=3"], "batch_rows"),
        (["train", "run.yaml", "model=ngrm"], "ngram"),
        (["registry", "show", "ngrm"], "ngram"),
        (["config", "explain", "run.sede"], "run.seed"),
        (["-p", "no:codex-cor", "train", "run.yaml"], "codex-core"),
        (["help", "exit-cods"], "exit-codes"),
        (["doctor", "--quick", "--require", "pythn"], "python"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_every_kind_of_typo_gets_a_suggestion(arguments, meant, folder, capsys):
    """Commands, options, choices, keys, components, plugins, topics: exit 2 and what was probably meant."""
    code = main(arguments)

    said = capsys.readouterr()
    assert code == 2
    assert "did you mean" in said.err and meant in said.err
    assert said.out == ""


@pytest.mark.parametrize("reference", ["rum", "@lats"])
def test_a_misspelt_run_gets_a_suggestion(reference, trained, capsys):
    """References are names, ids, folders and `@last`; the nearest is named, exit 4."""
    assert main(["runs", "show", reference]) == 4
    err = capsys.readouterr().err
    assert "did you mean" in err and ("run" if reference == "rum" else "@last") in err


def test_art_dir_takes_all_outputs_of_a_run(trained, capsys):
    """`--art-dir` names the run's folder; without it the folder is made under `runs/`."""
    config = str(trained / "run" / "config.yaml")

    assert main(["train", config, "--art-dir", "elsewhere/mine"]) == 0
    assert (trained / "elsewhere" / "mine" / "run.json").is_file() and not (trained / "runs").exists()
    assert main(["train", config]) == 0
    assert len(list((trained / "runs").iterdir())) == 1


@pytest.mark.parametrize("mode", ["auto", "plain", "json", "off"])
def test_progress_is_shown_as_asked_and_never_on_stdout(mode, trained, capsys):
    """The flag stands before or after the command; stdout holds the result alone."""
    config = str(trained / "run" / "config.yaml")

    assert main(["train", config, "--json", "--progress", mode]) == 0

    said = capsys.readouterr()
    assert json.loads(said.out)["status"] == "finished"
    lines = [json.loads(line) for line in said.err.splitlines() if line.startswith("{")]
    assert bool(lines) == (mode == "json")
    assert ("training 20/20" in said.err) == (mode in ("auto", "plain"))
    if mode == "json":
        assert {"run_started", "step", "evaluation"} & {line["kind"] for line in lines}
        assert all(line["schema"] == "codex-progress/1" for line in lines)
    if mode == "off":
        assert "bits_per_byte" in said.err, "evaluations are results, not progress"


def test_quiet_wins_over_progress(trained, capsys):
    """`-q` says nothing but results and errors."""
    assert main(["-q", "train", str(trained / "run" / "config.yaml"), "--progress", "json"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("words", [["--progress", "json", "demo"], ["demo", "--progress=json"]])
def test_progress_may_stand_before_and_after_the_command(words):
    """Both spellings are taken out of the command's own words."""
    flags, rest = split_flags(words)

    assert (flags.progress, rest) == ("json", ["demo"])


def test_colours_are_never_printed_where_nobody_asked(trained, capsys, monkeypatch):
    """With NO_COLOR, on a dumb terminal and off a terminal no escape sequence is written."""
    for name, value in (("NO_COLOR", "1"), ("TERM", "dumb")):
        monkeypatch.setenv(name, value)
        main(["train", str(trained / "run" / "config.yaml")])
        main(["runs", "list"])
        main(["trian"])
        said = capsys.readouterr()
        assert "\x1b" not in said.out + said.err


@pytest.mark.parametrize("arguments", [["help", "errors"], ["registry", "list"]])
def test_a_full_disk_under_the_output_is_no_bug(arguments):
    """What cannot be printed for want of room is exit 4 and names standard output; no crash file, no traceback."""
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "codex_core", *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert ended.returncode == 4, ended.stderr
    assert "CLI-008" in ended.stderr and "standard output" in ended.stderr
    assert "Traceback" not in ended.stderr

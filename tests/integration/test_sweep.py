"""`codex config sweep`: every form of its result, cells that are trained, interrupted, resumed and skipped."""

from __future__ import annotations

import json
import re
import shlex
import signal
from pathlib import Path

import pytest

from codex_core.cli.main import main
from tests.support.commands import Project, safety_line

RUN = """\
schema: codex-run/1
run: {name: small, log_every: 1}
data:
  sources: [{name: text, path: corpus.txt, document: paragraph}]
  split: [0.6, 0.2, 0.2]
  seq_len: 32
tokenizer: bytes
model: {name: ngram, order: 3}
trainer: {name: ngram, duration: 1 epoch, batch_rows: 8}
evaluation: {every: 2}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A project with a corpus of sixty short documents and a configuration."""
    project = Project.make(tmp_path / "project")
    paragraphs = [f"Document number {number} says {'so ' * (number % 7)}much." for number in range(60)]
    (project.path / "corpus.txt").write_text("\n\n".join(paragraphs))
    (project.path / "run.yaml").write_text(RUN + safety_line())
    monkeypatch.chdir(project.path)
    return project.path


def told(capsys, *arguments: str) -> dict:
    """The JSON of a sweep that succeeded."""
    assert main(["config", "sweep", "run.yaml", *arguments, "--json"]) == 0
    found: dict = json.loads(capsys.readouterr().out)
    return found


def test_a_file_of_a_cell_stays_readable_whatever_its_overrides_hold(folder, capsys):
    """A line break within a value does not end the comment that names the cell."""
    point = "safety.reason='two\nlines' safety.name=none"
    assert main(["config", "sweep", "run.yaml", "--list", point, "--format", "files", "--out", "cells"]) == 0
    (path,) = (folder / "cells").iterdir()
    assert main(["config", "show", str(path)]) == 0


GRID = ("--grid", "model.order=2,3", "--seeds", "1,2")


def test_each_command_trains_what_its_cell_says(folder, capsys):
    """Four cells are four lines; the words of a line, given to `codex config show`, have the hash it names."""
    assert main(["config", "sweep", "run.yaml", "data.split=[0.5, 0.25, 0.25]", *GRID]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 and len(set(lines)) == 4
    for line in lines:
        command, _, wanted = line.partition("  # ")
        words = shlex.split(command)
        assert words[:3] == ["codex", "train", "run.yaml"]
        at = words.index("--seed")
        overrides = [*words[3:at], f"run.seed={words[at + 1]}"]
        assert main(["config", "show", "run.yaml", *overrides, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["hash"] == wanted


def test_files_hold_the_resolved_cells(folder, capsys):
    """Each file names its cell and loads to its hash; writing the same again is fine, something else is not."""
    cells = told(capsys, *GRID)["cells"]
    for _ in range(2):
        assert main(["config", "sweep", "run.yaml", *GRID, "--format", "files", "--out", "cells"]) == 0
    paths = sorted((folder / "cells").iterdir())
    assert [path.name.partition("_")[0] for path in paths] == ["1", "2", "3", "4"]
    for path, cell in zip(paths, cells, strict=True):
        assert cell["config_hash"] in path.read_text().splitlines()[1]
        capsys.readouterr()
        assert main(["config", "show", str(path), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["hash"] == cell["config_hash"]

    paths[0].write_text("something: else\n")
    assert main(["config", "sweep", "run.yaml", *GRID, "--format", "files", "--out", "cells"]) == 4
    assert paths[0].read_text() == "something: else\n" and "CFG-013" in capsys.readouterr().err


def test_every_mistake_of_every_cell_is_told_once(folder, capsys):
    """Cells are checked before anything is shown: wrong values each, a mistake that all share once."""
    assert main(["config", "sweep", "run.yaml", "run.sede=1", "--grid", "model.order=0,3,99"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("unknown key 'sede'") == 1
    assert "override model.order=0, model.order" in err and "override model.order=99, model.order" in err


def test_cells_that_mean_the_same_are_refused(folder, capsys):
    """Another spelling is no other cell."""
    assert main(["config", "sweep", "run.yaml", "--grid", "model.order=3,0x3"]) == 2
    assert "cells 1 and 2 of the sweep mean the same" in capsys.readouterr().err


def test_files_need_a_folder(folder, capsys):
    """`--format files` says what it lacks."""
    assert main(["config", "sweep", "run.yaml", *GRID, "--format", "files"]) == 2
    assert "--out DIR" in capsys.readouterr().err


@pytest.mark.slow
def test_a_sweep_trains_its_cells_and_then_skips_them(folder, capsys):
    """The table tells loss, best and last metric per cell; a wider sweep trains what is new and nothing twice."""
    arguments = ["config", "sweep", "run.yaml", "--grid", "model.order=2,3", "--run", "--out", "swept"]
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert (
        lines[0].split()[:4] == ["cell", "overrides", "status", "loss"] and "best bits_per_byte" in lines[0]
    )
    assert [line.split()[2] for line in lines[2:]] == ["finished", "finished"]
    journals = {path: path.read_bytes() for path in (folder / "swept").glob("*/journal/*")}
    assert len(journals) == 2

    arguments[4] = "model.order=4,3,2"
    assert main([*arguments, "--json"]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert err.count("is finished already") == 2
    assert [cell["overrides"] for cell in found["cells"]] == [
        ["model.order=4"],
        ["model.order=3"],
        ["model.order=2"],
    ]
    assert all(path.read_bytes() == held for path, held in journals.items())
    for cell in found["cells"]:
        run = folder / "swept" / cell["path"]
        rows = [json.loads(line) for line in (run / "metrics.ndjson").read_text().splitlines()]
        values = [row["bits_per_byte"] for row in rows if row["split"] == "validation"]
        assert (cell["best"], cell["last"]) == (min(values), values[-1]) and len(values) > 1
        assert cell["loss"] == [row["loss"] for row in rows if row["split"] == "train"][-1]
        assert json.loads((run / "run.json").read_text())["config_hash"] == cell["config_hash"]
    assert json.loads((folder / "swept" / "sweep.json").read_text())["cells"] == found["cells"]


@pytest.mark.slow
def test_a_killed_sweep_continues_where_it_was(folder, capsys):
    """After a kill in the first cell, the same command resumes that cell and trains the others; nothing is lost."""
    cells = ["trainer.duration=60 epochs", "--grid", "model.order=2,3"]
    name = told(capsys, *cells)["cells"][0]["config_hash"].partition(":")[2][:12]
    words = ["config", "sweep", "run.yaml", *cells, "--run"]
    run = folder / "runs" / "sweep_run" / name
    Project(folder, {"OMP_NUM_THREADS": "1"}).codex_until('"kind":"step"', *words, run=run)
    assert json.loads((run / "run.json").read_text())["status"] == "running"

    assert main([*words, "--json"]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert f"resuming {name}" in err
    assert [cell["status"] for cell in found["cells"]] == ["finished", "finished"]
    unbroken = told(capsys, *cells, "--run", "--out", "unbroken")["cells"]
    assert [cell["loss"] for cell in unbroken] == [cell["loss"] for cell in found["cells"]]


@pytest.mark.slow
def test_a_signal_stops_the_sweep_after_a_step(folder, capsys):
    """Ctrl-C saves the cell in training, shows the table so far and ends with 130; the same command goes on."""
    cells = ["trainer.duration=60 epochs", "--grid", "model.order=2,3"]
    name = told(capsys, *cells)["cells"][0]["config_hash"].partition(":")[2][:12]
    words = ["config", "sweep", "run.yaml", *cells, "--run", "--out", "swept"]
    project = Project(folder, {"OMP_NUM_THREADS": "1"})
    said = project.codex_until('"kind":"step"', *words, run=folder / "swept" / name, send=signal.SIGINT)
    assert said.code == 130
    assert [line.split()[2] for line in said.out.splitlines()[2:]] == ["interrupted", "waiting"]
    assert "the same command continues" in said.err
    assert main([*words, "--json"]) == 0
    assert [cell["status"] for cell in json.loads(capsys.readouterr().out)["cells"]] == [
        "finished",
        "finished",
    ]


GUIDE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "sweep.md"


@pytest.mark.slow
def test_the_commands_of_the_guide_run(folder):
    """Every command of `docs/how-to/sweep.md` ends with 0."""
    lines = re.findall(r"codex config sweep[^`\n]+", GUIDE.read_text(encoding="utf-8"))
    assert len(lines) == 3
    for line in lines:
        assert main(shlex.split(line)[1:]) == 0, line


@pytest.mark.slow
def test_a_cell_that_fails_does_not_stop_the_others(folder, capsys):
    """A cell whose data does not exist is told in the table, exit 1; the rest is trained."""
    grid = "data.sources[0].path=absent.txt,corpus.txt"
    assert main(["config", "sweep", "run.yaml", "--grid", grid, "--run", "--json"]) == 1
    out, err = capsys.readouterr()
    cells = json.loads(out)["cells"]
    assert [cell["status"] for cell in cells] == ["failed", "finished"]
    assert cells[0]["error"].startswith("DAT-001") and "error[DAT-001]" in err


@pytest.mark.slow
def test_a_folder_with_another_run_is_not_taken_for_the_cell(folder, capsys):
    """What stands in a cell's place must be a run of its configuration."""
    words = ["config", "sweep", "run.yaml", "--run", "--out", "swept", "--seeds"]
    assert main([*words, "1"]) == 0
    (first,) = [path for path in (folder / "swept").iterdir() if path.is_dir()]
    capsys.readouterr()
    name = told(capsys, "--seeds", "2")["cells"][0]["config_hash"].partition(":")[2][:12]
    first.rename(folder / "swept" / name)
    assert main([*words, "2", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["cells"][0]["error"].startswith("CFG-018")
    (folder / "swept" / name / "run.json").write_text("{}")
    assert main([*words, "2", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["cells"][0]["error"].startswith("RUN-009")

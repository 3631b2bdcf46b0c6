"""Mistakes and accidents at the command line: what is said, the exit code, and that nothing is lost or half-written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from tests.support.commands import Project, final_state, safety_line

NGRAM = """schema: codex-run/1
run: {name: accident, log_every: 1 steps, threads: 1}
data:
  sources: [{name: text, path: corpus}]
  split: [0.6, 0.2, 0.2]
  seq_len: 32
tokenizer: bytes
model: {name: ngram, order: 3}
trainer: {name: ngram, duration: 300 steps, batch_rows: 1}
checkpoint: {every: 20 steps}
evaluation: {every: 0 steps}
"""


@pytest.fixture
def project(tmp_path):
    """A project with a small corpus and a configuration that trains the n-gram over it for a while."""
    project = Project.make(tmp_path / "project")
    corpus = project.path / "corpus"
    corpus.mkdir()
    for number in range(40):
        (corpus / f"{number:02}.txt").write_text(
            f"Document number {number}: " + "it says little. " * (number + 3)
        )
    (project.path / "run.yaml").write_text(NGRAM + safety_line())
    return project


def refused(said, *, code, names):
    """Assert an error in the house form: exit code, `error[...]`, a fix, every name in it, no traceback."""
    assert said.code == code, said
    assert said.err.startswith("error[") or "\nerror[" in said.err, said.err
    assert "fix:" in said.err
    assert "Traceback" not in said.err
    for name in names:
        assert name in said.err, f"{name!r} is not in:\n{said.err}"


def test_unknown_component_is_answered_with_its_place_and_near_names(project):
    """A misspelt model names file, line and what was probably meant."""
    (project.path / "typo.yaml").write_text(NGRAM.replace("{name: ngram, order: 3}", "{name: ngrm}"))

    said = project.codex("plan", "typo.yaml")

    refused(said, code=2, names=["ngrm", "typo.yaml:8", "ngram"])


def test_unknown_keys_are_answered_all_at_once(project):
    """Two misspelt keys at different depths are reported together, each with its line and nearest name."""
    broken = NGRAM.replace("seq_len:", "seqlen:").replace("every: 20 steps", "evry: 20 steps")
    (project.path / "typo.yaml").write_text(broken + safety_line())

    said = project.codex("train", "typo.yaml")

    refused(said, code=2, names=["typo.yaml:6", "seq_len", "typo.yaml:10", "every"])


def test_empty_dataset_is_refused_before_anything_is_written(project):
    """A folder without text files is exit 4, and no run appears."""
    (project.path / "nothing").mkdir()

    said = project.codex("train", "run.yaml", "data.sources[0].path=nothing")

    refused(said, code=4, names=["nothing"])
    assert not list(project.path.glob("runs/*"))


def test_missing_path_is_refused_with_the_path(project):
    """A path that does not exist is exit 4 and is named."""
    said = project.codex("train", "run.yaml", "data.sources[0].path=no/such/folder")

    refused(said, code=4, names=["no/such/folder"])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write everything")
def test_unreadable_file_is_refused_with_the_file(project):
    """A file without read permission is exit 4 and is named."""
    (project.path / "corpus" / "07.txt").chmod(0)

    said = project.codex("train", "run.yaml")

    refused(said, code=4, names=["07.txt"])


def test_file_that_is_no_text_is_refused_with_the_place(project):
    """Bytes that are not UTF-8 are exit 4 with the file's name; nothing is replaced in silence."""
    (project.path / "corpus" / "07.txt").write_bytes(b"fine until here \xff\xfe")

    said = project.codex("train", "run.yaml")

    refused(said, code=4, names=["07.txt"])


@pytest.mark.slow
def test_existing_run_directory_is_refused_with_the_resume_hint(project):
    """A second training into a run's folder changes nothing in it and tells how to continue it."""
    run = project.path / "mine"
    assert project.codex("train", "run.yaml", "trainer.duration=5 steps", "--run-dir", run).code == 0
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}

    said = project.codex("train", "run.yaml", "--run-dir", run)

    refused(said, code=4, names=["mine", "--resume"])
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


@pytest.mark.slow
def test_second_process_on_one_run_is_refused_and_named_the_first(project):
    """While a run is worked on, a resume of it is exit 7 and names host and process; the first one goes on."""
    run = project.path / "busy"
    first = project.start("train", "run.yaml", "trainer.duration=100000 steps", "--run-dir", run)
    try:
        while not (run / "lock.json").exists():
            assert first.poll() is None, first.communicate()
        second = project.codex("train", "--resume", run)
        assert first.poll() is None
    finally:
        first.kill()
        first.communicate()

    refused(second, code=7, names=[str(first.pid)])


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_while_training_finishes_the_step_and_saves(project, number, code):
    """One Ctrl-C finishes the step, saves, and tells how to go on; what follows equals an unbroken run."""
    unbroken, run = project.path / "unbroken", project.path / "stopped"
    assert project.codex("train", "run.yaml", "--run-dir", unbroken).code == 0

    said = project.codex_until('"step":5,', "train", "run.yaml", "--run-dir", run, run=run, send=number)
    resumed = project.codex("train", "--resume", run)

    assert said.code == code, said
    assert f"codex train --resume {run}" in said.err
    assert resumed.code == 0, resumed.err
    assert final_state(run) == final_state(unbroken)


@pytest.mark.slow
def test_signal_while_preparing_leaves_nothing_half_written(project):
    """Ctrl-C while data is read: exit 130, no run, no prepared set; the next training works."""
    big = project.path / "corpus" / "big.txt"
    big.write_text("".join(f"Line {number} of a longer document.\n" for number in range(400_000)))
    process = project.start("train", "run.yaml")
    store = project.path / ".codex" / "store"
    while not list(store.rglob("*.tmp-*")):
        assert process.poll() is None, process.communicate()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)

    assert process.returncode == 130, err
    assert not list(store.rglob("manifest.json")) and not list(store.rglob("*.tmp-*"))
    assert not list(project.path.glob("runs/*"))
    big.unlink()
    assert project.codex("train", "run.yaml", "trainer.duration=5 steps").code == 0


@pytest.mark.slow
def test_full_disk_while_training_keeps_the_last_checkpoint(project):
    """When no file may grow further, the run ends with exit 1 and the checkpoint before it still loads."""
    run = project.path / "full"
    script = (
        "import sys\n"
        "from codex_core.files import Files\n"
        "plain = Files.produce\n"
        "def produce(self, path, write):\n"
        "    if 'step-00000040' in str(path):\n"
        "        raise OSError(28, 'No space left on device')\n"
        "    return plain(self, path, write)\n"
        "Files.produce = produce\n"
        "from codex_core.__main__ import main\n"
        f"sys.exit(main(['train', 'run.yaml', '--run-dir', {str(run)!r}]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=project.path,
        env={**os.environ, **project.environ},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1, done.stderr
    assert (
        "No space left on device" in done.stderr and "fix:" in done.stderr and "Traceback" not in done.stderr
    )
    assert [path.name for path in sorted(run.glob("checkpoints/step-*"))] == ["step-00000020"]
    resumed = project.codex("train", "--resume", run)
    assert resumed.code == 0, resumed.err
    assert "resumed from checkpoints/step-00000020" in resumed.err


def test_typos_get_a_suggestion(project):
    """A misspelt command and a misspelt option are exit 2 with what was probably meant."""
    refused(project.codex("trian", "run.yaml"), code=2, names=["train"])
    refused(project.codex("train", "run.yaml", "--resum"), code=2, names=["--resume"])


def test_closed_pipe_is_quiet(project):
    """When the reader goes away before anything is written the command ends with 141 and says nothing."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "codex_core", "help", "errors"],
        cwd=project.path,
        env={**os.environ, **project.environ},
        stdout=writer,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writer)

    assert (done.returncode, done.stderr) == (141, b"")

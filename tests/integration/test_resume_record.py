"""Resumes as a user has them: epochs straight against broken ones, what is said, and checkpoints that do not belong."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from pathlib import Path

import pytest

from codex_core import checkpoints, journal
from codex_core.canonical import sha256_of
from codex_core.cli.main import main
from codex_core.running import checkpoint_files as form
from codex_core.testing.crash import KILLED, Lab, Server, final_state
from codex_core.testing.crash_points import CrashPoint
from tests.support.commands import safety_line
from tests.support.crash_cases import CASES, case, config_of, imports_of, write_corpus

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
SHORT = (
    config_of("ngram")
    .replace("duration: 24 steps", "duration: 12 steps")
    .replace("keep_last: 1", "keep_last: 3")
)


def swap(text: str, *pairs: tuple[str, str]) -> str:
    for before, after in pairs:
        assert before in text
        text = text.replace(before, after)
    return text


@pytest.mark.parametrize("name", ["ngram", "full"])
def test_four_epochs_equal_two_and_two(name, tmp_path):
    """Four epochs straight, and the same killed after the second and resumed: equal weights, moments and metric rows;
    the resume says from which epoch and step, and the journal holds parent, digest and step.
    """
    if name == "full":
        pytest.importorskip("codex_models")
        pytest.importorskip("torch")
    write_corpus(tmp_path)
    config = swap(
        config_of(name),
        ("duration: 24 steps", "duration: 4 epochs"),
        ("batch_rows: 4", "batch_rows: 32"),
        ("every: 4 steps", "every: 1 epoch, asynchronous: false"),
        ("every: 3 steps", "every: 1 epoch"),
    )
    with Server(imports_of(name)) as server:
        (tmp_path / ".codex").mkdir()
        (tmp_path / "run.yaml").write_text(config)
        said = tmp_path / "said.txt"
        assert server.run("train", "run.yaml", "--run-dir", "straight", folder=tmp_path, says=said) == 0
        lock = json.loads((tmp_path / "straight" / "lock.json").read_text())
        assert lock["epochs"] >= 4 and lock["steps"] >= 8
        half = lock["save_every"] * 2
        point = CrashPoint(phase="step", operation=half + 1, delay_s=0.0)
        arguments = ("train", "run.yaml", "--run-dir", "broken")
        assert server.run(*arguments, folder=tmp_path, says=said, point=point) == KILLED
        said.unlink()
        assert server.run("train", "--resume", "broken", folder=tmp_path, says=said) == 0

    assert final_state(tmp_path / "broken") == final_state(tmp_path / "straight")
    told = said.read_text()
    assert f"resumed from checkpoints/step-{half:08} at step {half} of {lock['steps']}, epoch 2." in told
    (record,) = [
        one for one in journal.read(tmp_path / "broken/journal").records if one.kind == "run_resumed"
    ]
    assert record.fields["step"] == half and record.fields["changes"] == {}
    assert record.fields["parent"] == f"checkpoints/step-{half:08}" and record.fields["parent_digest"] in told


@pytest.mark.skipif(
    not importlib.util.find_spec("codex_models"), reason="could not import 'codex_models': not installed"
)
def test_files_are_the_same_with_and_without_waiting(tmp_path):
    """`checkpoint.asynchronous` changes when bytes are written, and no byte of them."""
    write_corpus(tmp_path)
    with Server(imports_of("full")) as server:
        lab = Lab(case=case("full"), server=server, folder=tmp_path)
        beside = lab.unbroken()
        arguments = ("train", "run.yaml", "checkpoint.asynchronous=false", "--run-dir", "waiting")
        assert server.run(*arguments, folder=tmp_path, says=tmp_path / "said.txt") == 0

    assert final_state(tmp_path / "waiting") == beside
    state = json.loads(beside["state.json"])["state"]
    assert {"arithmetic", "loss_sum", "loss_tokens", "patience", "scaler", "metrics"} <= state.keys()
    assert state["random"]["dropout"] == "a function of run.seed, step and micro-batch"
    perf = [one for one in journal.read(tmp_path / "unbroken/journal").records if one.kind == "perf"]
    assert any(one.fields["values"].get("save_blocked_ms", 0) > 0 for one in perf)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A project with two finished runs of an n-gram, of 12 steps each, over rows of different lengths."""
    folder = tmp_path_factory.mktemp("runs") / "project"
    write_corpus(folder)
    (folder / ".codex").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, config in (("one", SHORT), ("other", swap(SHORT, ("seq_len: 32", "seq_len: 48")))):
            Path(f"{name}.yaml").write_text(config)
            assert main(["-q", "train", f"{name}.yaml", "--run-dir", name]) == 0
    return folder


@pytest.fixture
def runs(made, tmp_path, monkeypatch):
    """Copies of the two runs; their project is the working directory."""
    shutil.copytree(made, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    return Path("one"), Path("other")


def refused(capsys, *words, code=7):
    """The error that a command ends with."""
    capsys.readouterr()
    assert main(["-q", *map(str, words)]) == code
    return capsys.readouterr().err


def rewrite_manifest(folder: Path) -> None:
    """Make a manifest that fits what now lies in a folder, as somebody would who wanted to deceive."""
    manifest, _ = form.read_manifest(folder)
    content = {name: value for name, value in manifest.items() if name != "digest"}
    for file in content["files"]:
        path = folder / file["path"]
        file["bytes"] = path.stat().st_size
        file["digest"] = form.file_digest(path, form.algorithm_for(file["path"]))
    (folder / form.MANIFEST).write_bytes(form.manifest_bytes(content))


def test_checkpoint_of_another_run_is_refused(runs, capsys):
    """Another run's checkpoint among the run's own, and one named on the command line: exit 7, both sides named."""
    one, other = runs
    shutil.rmtree(one / "checkpoints/step-00000012")
    shutil.copytree(other / "checkpoints/step-00000012", one / "checkpoints/step-00000012")

    said = refused(capsys, "train", "--resume", one)

    assert "CKP-007" in said and "another run" in said
    assert (one / "checkpoints/step-00000012").is_dir()


def test_another_tokenizer_under_a_checkpoint_is_refused(runs, capsys):
    """A tokenizer that was exchanged is damage; exchanged with a manifest to fit it, it is not this run's."""
    one, _ = runs
    folder = one / "checkpoints/step-00000012"
    file = next(path for path in (folder / "tokenizer").rglob("*") if path.is_file())
    file.write_bytes(file.read_bytes() + b" ")

    assert f"tokenizer/{file.name}" in refused(capsys, "checkpoint", "verify", folder)
    rewrite_manifest(folder)
    said = refused(capsys, "train", "--resume", folder, "one.yaml", "trainer.duration=20 steps")
    assert "CKP-007" in said and "another tokenizer" in said and file.name in said


def test_truncated_tensor_with_a_manifest_to_fit_is_refused(runs, capsys):
    """Digests that were made to fit do not get a cut tensor past the model's own check."""
    one, _ = runs
    folder = one / "checkpoints/step-00000012"
    table = folder / "model/counts.safetensors"
    table.write_bytes(table.read_bytes()[:-8])
    rewrite_manifest(folder)

    said = refused(capsys, "train", "--resume", folder, "one.yaml", "trainer.duration=20 steps")
    assert "NGM-004" in said or "MOD-001" in said


def test_another_manifest_under_a_checkpoint_is_refused(runs, capsys):
    """The manifest of one checkpoint over the files of another names the first file that differs."""
    one, _ = runs
    folder = one / "checkpoints/step-00000012"
    shutil.copyfile(one / "checkpoints/step-00000008/MANIFEST.json", folder / "MANIFEST.json")

    assert "step-00000012 is corrupt" in refused(capsys, "checkpoint", "verify", folder)


def test_foreign_file_is_told_and_survived(runs, capsys):
    """A file that nobody saved, in the newest checkpoint: the resume takes the one before, aloud, to the same end."""
    one, _ = runs
    before = final_state(one)
    (one / "checkpoints/step-00000012/model/notes.txt").write_text("mine")
    assert main(["train", "--resume", str(one)]) == 0

    said = capsys.readouterr().err
    assert "notes.txt: the manifest does not name this file" in said and "quarantine" in said
    assert final_state(one) == before


def test_moved_run_keeps_its_best_and_continues(runs, capsys):
    """A run at another path resumes from its lock, with its pointers, pins and lineage."""
    one, _ = runs
    checkpoints.pin_path(one / "checkpoints", 8).touch()
    moved = Path("elsewhere/moved")
    moved.parent.mkdir()
    shutil.move(one, moved)
    words = ["train", "--resume", moved, "one.yaml", "trainer.duration=24 steps"]
    assert main(["-q", *map(str, words)]) == 0

    kept = sorted(checkpoints.committed(moved / "checkpoints"))
    assert 8 in kept and kept[-1] == 24
    capsys.readouterr()
    assert main(["-q", "checkpoint", "lineage", str(moved), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["complete"]


def test_checkpoint_that_nobody_told_of_is_accounted_for(tmp_path, monkeypatch, capsys):
    """Killed between committing a checkpoint and saying so: the resumed run verifies, and its lineage is whole."""
    write_corpus(tmp_path)
    whole = case("ngram")
    config = whole.config.replace("keep_last: 1", "keep_last: 9")
    with Server(imports_of("ngram")) as server:
        (tmp_path / ".codex").mkdir()
        (tmp_path / "run.yaml").write_text(config)
        for operation in range(15, 40):
            run = tmp_path / f"run-{operation}"
            point = CrashPoint(phase="save", operation=operation)
            arguments = ("train", "run.yaml", "--run-dir", run.name)
            assert server.run(*arguments, folder=tmp_path, says=tmp_path / "said", point=point) == KILLED
            if checkpoints.committed(run / "checkpoints"):
                break
        assert [one.kind for one in journal.read(run / "journal").records].count("checkpoint_saved") == 0
        assert server.run("train", "--resume", run.name, folder=tmp_path, says=tmp_path / "said") == 0
    monkeypatch.chdir(tmp_path)

    assert main(["-q", "runs", "verify", run.name]) == 0, capsys.readouterr().err
    assert main(["-q", "checkpoint", "lineage", run.name]) == 0


def test_pruned_and_pinned_run_still_verifies(runs, capsys):
    """What the commands move, the run's own account takes note of."""
    one, _ = runs
    assert main(["-q", "checkpoint", "pin", str(one)]) == 0
    lock = json.loads((one / "lock.json").read_text())
    assert lock["config"]["checkpoint"]["keep_last"] == 3
    assert main(["-q", "checkpoint", "prune", str(one)]) == 0
    assert main(["-q", "runs", "verify", str(one)]) == 0, capsys.readouterr().err


def test_demo_of_a_resume_is_made_by_a_command(tmp_path, monkeypatch):
    """The example kills a run inside a save, resumes it, and writes down what was said and that both are equal."""
    monkeypatch.syspath_prepend(str(ROOT / "examples" / "resume"))
    sys.modules.pop("make", None)
    import make

    assert make.main(tmp_path / "demo") == 0
    told = (tmp_path / "demo" / "README.md").read_text()
    assert "(exit code -9)" in told and "resumed from checkpoints/step-00000020 at step 20 of 40" in told
    assert "equal: 2 tensors, every other file, and the state" in told
    assert str(tmp_path) not in told


def test_every_case_of_the_crash_kit_is_a_valid_configuration():
    """A row of the table that nobody runs here still parses."""
    from codex_core import config
    from codex_core.planning.configio import parse, plain

    for name in CASES:
        text = config_of(name)
        assert config.from_mapping(plain(parse(text, source=name)), source=name).run.name == "broken"
        assert sha256_of(text.encode()) and safety_line() in text

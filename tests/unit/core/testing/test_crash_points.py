"""The crash kit's own parts: what counts as which phase, what half an operation is, and that ruin is seen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from codex_core import checkpoints
from codex_core.files import Files
from codex_core.testing.crash import Case, final_state, survey
from codex_core.testing.crash_points import CrashPoint, Watch
from tests.support.checkpoint_stores import save, store_in


class Died(BaseException):
    """Stands for the end of this process."""


def die():
    raise Died


@pytest.fixture
def watch(monkeypatch):
    """A function that watches the operations of this test's own kind of files."""

    def install(point):
        watching = Watch(point, die=die)
        for name in (
            "make_folder",
            "write",
            "produce",
            "append",
            "sync_file",
            "sync_folder",
            "rename",
            "remove",
        ):
            monkeypatch.setattr(Files, name, watching._wrapped(name, getattr(Files, name)))
        return watching

    return install


def record(kind, **fields):
    row = {"sequence": 1, "kind": kind, "fields": fields}
    return json.dumps(row, separators=(",", ":")).encode() + b"\n"


@pytest.mark.parametrize(
    ("name", "target", "data", "phase"),
    [
        ("make_folder", "run/checkpoints/step-00000004.tmp-1", None, "save"),
        ("produce", "run/checkpoints/step-00000004.tmp-1/model/x.bin", None, "save"),
        ("rename", "run/checkpoints/step-00000004.tmp-1", Path("run/checkpoints/step-00000004"), "save"),
        ("rename", "run/checkpoints/.last.json.tmp-7", Path("run/checkpoints/last.json"), "save"),
        ("rename", "run/checkpoints/step-00000002", Path("run/checkpoints/step-00000002.tmp-1"), "prune"),
        ("remove", "run/checkpoints/step-00000002.tmp-1", None, "prune"),
        ("write", "run/.metrics.csv.tmp-7", None, ""),
    ],
)
def test_phase_is_told_by_what_is_done_to_which_file(name, target, data, phase):
    """After the first step: writing a checkpoint and its pointers, removing one, and everything else."""
    watching = Watch(CrashPoint(phase="save"), die=die)
    assert watching.phase_of(name, Path(target), data) == "resume"
    watching.has_stepped = True
    assert watching.phase_of(name, Path(target), data) == phase


@pytest.mark.parametrize(("how", "left"), [("before", None), ("half", 3), ("after", 6)])
def test_process_dies_where_it_was_told(watch, tmp_path, how, left):
    """Before, in the middle of, and after the second operation of a save."""
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    watching = watch(CrashPoint(phase="save", operation=2, how=how))
    watching.has_stepped = True
    files = Files()
    files.make_folder(folder / "step-00000004.tmp-1")
    with pytest.raises(Died):
        files.write(folder / "step-00000004.tmp-1" / "x.bin", b"abcdef")

    path = folder / "step-00000004.tmp-1" / "x.bin"
    assert (path.stat().st_size if path.exists() else None) == left


def test_timer_starts_with_the_record_of_a_due_step(watch, tmp_path):
    """An evaluation is hit after the record of a step that is due for it, not after any other."""
    watching = watch(CrashPoint(phase="evaluation", delay_s=0.0, evaluate_every=3))
    started = []
    watching._die_later = lambda: started.append(watching.num_seen)
    with (tmp_path / "journal").open("wb") as file:
        Files().append(file.fileno(), b"\x00\xff no record\n")
        for step in (1, 2, 3, 4, 5, 6):
            Files().append(file.fileno(), record("step", step=step))

    assert started == [1] and watching.num_seen == 2


def case_of(**changes):
    return Case(**({"name": "x", "config": "", "steps": 9, "save_every": 2, "evaluate_every": 2} | changes))


def run_at(folder, *, saved, reached):
    """A run folder whose journal has reached a step, and whose checkpoints are of these steps."""
    store = store_in(folder)
    for step in saved:
        save(store, step)
    (folder / "journal").mkdir()
    row = {
        "sequence": 1,
        "time": "t",
        "attempt": 1,
        "kind": "step",
        "fields": {"step": reached},
        "prev": None,
    }
    (folder / "journal" / "r0-a1-000001.ndjson").write_text(json.dumps(row) + "\n")
    return folder


def test_survey_finds_lost_work(tmp_path):
    """A newest checkpoint that is older than an interval, or than two of a save beside, fails the survey."""
    run = run_at(tmp_path, saved=[2], reached=5)

    survey(run, case_of(is_beside=True), "told")
    with pytest.raises(AssertionError, match=r"told: step 5 was reached, and the newest .* of step 2"):
        survey(run, case_of(), "told")


def test_survey_finds_a_dangling_pointer(tmp_path):
    """A pointer that names what is not there fails the survey."""
    run = run_at(tmp_path, saved=[2], reached=2)
    pointer = run / "checkpoints" / "last.json"
    pointer.write_text(json.dumps({"path": "step-00000009"}))

    with pytest.raises(AssertionError, match="names step-00000009"):
        survey(run, case_of(), "told")


def test_survey_finds_ruin(tmp_path):
    """When nothing verifies any more, the loader's own error ends the survey."""
    run = run_at(tmp_path, saved=[2], reached=2)
    (run / "checkpoints/step-00000002/model/weights.bin").write_bytes(b"")

    with pytest.raises(Exception, match="none of 1 checkpoints verifies"):
        survey(run, case_of(), "told")


def test_final_state_is_everything_but_the_manifest(tmp_path):
    """Weights, moments, state and tokenizer of the newest checkpoint, and both metric views."""
    run = run_at(tmp_path, saved=[2, 4], reached=4)
    for name in ("metrics.ndjson", "metrics.csv"):
        (run / name).write_text(name)

    found = final_state(run)

    assert found["model/weights.bin"] == b"weights of step 4" and found["metrics.csv"] == b"metrics.csv"
    assert {"state.json", "trainer/deep/moments.bin", "tokenizer/tokenizer.json"} <= found.keys()
    assert "MANIFEST.json" not in found and checkpoints.newest(run / "checkpoints").step == 4

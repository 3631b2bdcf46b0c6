"""Further attempts of a run: they end equal to the unbroken one, and tell where they came from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import attrs
import pytest

from codex_core import checkpoints, execute, journal
from codex_core.errors import ArtefactError, InputError, UsageError
from codex_core.events import (
    CheckpointRejected,
    RunResumed,
    Warned,
)
from codex_core.lock import Lock
from tests.support.small_runs import essence, fail_at, go_on, start, the_run
from tests.support.small_training import (
    SmallWork,
)


@pytest.fixture
def work(tmp_path: Path) -> SmallWork:
    """A project with everything a small run needs."""
    return SmallWork(tmp_path)


@pytest.mark.parametrize("dies_in", range(1, 7))
def test_broken_run_ends_equal_to_the_unbroken_one(tmp_path: Path, dies_in: int) -> None:
    """Die in any step and resume: weights, moments, state and metric views equal the unbroken run's to the byte."""
    whole = start(SmallWork(tmp_path / "whole"))
    work = SmallWork(tmp_path / "broken")
    fail_at(work, dies_in, RuntimeError("power"))
    with pytest.raises(RuntimeError):
        start(work)

    result = go_on(work, the_run(work))

    assert essence(result.run) == essence(whole.run) and result.attempt == 2
    (resumed,) = work.seen(RunResumed)
    assert resumed.step == (dies_in - 1) // 2 * 2


def test_run_may_break_again_and_again(tmp_path: Path) -> None:
    """Three attempts, each dying elsewhere, end like one; every attempt's journal stays and the chain holds."""
    whole = start(SmallWork(tmp_path / "whole"))
    work = SmallWork(tmp_path / "broken")
    fail_at(work, 3, RuntimeError("one"))
    with pytest.raises(RuntimeError):
        start(work)
    run = the_run(work)
    fail_at(work, 5, RuntimeError("two"))
    with pytest.raises(RuntimeError):
        go_on(work, run)
    result = go_on(work, run)

    history = journal.verify(run.journal)
    assert essence(run) == essence(whole.run) and result.attempt == 3
    assert {record.attempt for record in history.records} == {1, 2, 3}
    ends = [record.fields["status"] for record in history.records if record.kind == "run_finished"]
    assert ends == ["failed", "failed", "finished"]


def test_resume_record_says_where_from(work: SmallWork) -> None:
    """The journal holds the parent checkpoint, its digest and step; the summary has step, epoch, numbers and digest."""
    fail_at(work, 5, RuntimeError("x"))
    with pytest.raises(RuntimeError):
        start(work)
    run = the_run(work)
    parent = checkpoints.newest(run.checkpoints)

    go_on(work, run)

    (record,) = [record for record in journal.read(run.journal).records if record.kind == "run_resumed"]
    assert record.fields["parent"] == "checkpoints/step-00000004"
    assert record.fields["parent_digest"] == parent.digest and record.fields["step"] == 4
    summary = record.fields["summary"]
    for part in (
        "resumed from checkpoints/step-00000004 at step 4 of 6",
        "epoch 1.00",
        "loss ",
        "nll ",
        parent.digest,
    ):
        assert part in summary
    assert checkpoints.newest(run.checkpoints).manifest["parent"]["path"] == "step-00000004"


def test_resume_from_an_older_checkpoint_loses_no_history(tmp_path: Path) -> None:
    """Continue from step 2 although step 4 exists: views equal the unbroken run, the first attempt's rows stay."""
    whole = start(SmallWork(tmp_path / "whole"))
    work = SmallWork(tmp_path / "broken")
    fail_at(work, 5, RuntimeError("x"))
    with pytest.raises(RuntimeError):
        start(work)
    run = the_run(work)
    before = (run.journal / "r0-a1-000001.ndjson").read_bytes()

    result = go_on(work, run, checkpoint=run.checkpoints / "step-00000002")

    assert essence(run) == essence(whole.run) and result.status == "finished"
    assert (run.journal / "r0-a1-000001.ndjson").read_bytes() == before
    assert [event.step for event in work.seen(RunResumed)] == [2]


def test_corrupt_newest_checkpoint_is_passed_over_aloud(tmp_path: Path) -> None:
    """Resume falls back to the one before with an event, and the run still ends equal."""
    whole = start(SmallWork(tmp_path / "whole"))
    work = SmallWork(tmp_path / "broken")
    fail_at(work, 5, RuntimeError("x"))
    with pytest.raises(RuntimeError):
        start(work)
    run = the_run(work)
    (run.checkpoints / "step-00000004/model/counts.bin").write_bytes(b"bad")

    go_on(work, run)

    assert [event.path for event in work.seen(CheckpointRejected)] == ["checkpoints/step-00000004"]
    assert CheckpointRejected.kind in {record.kind for record in journal.read(run.journal).records}
    assert essence(run) == essence(whole.run)


def test_asked_for_checkpoint_must_verify_and_belong(work: SmallWork, tmp_path: Path) -> None:
    """A corrupt checkpoint that was named is exit 7 with the file; one of another run is refused."""
    fail_at(work, 5, RuntimeError("x"))
    with pytest.raises(RuntimeError):
        start(work)
    run = the_run(work)
    other = start(SmallWork(tmp_path / "other"))
    foreign = run.checkpoints / "step-00000006"
    shutil.copytree(other.run.checkpoints / "step-00000006", foreign)

    with pytest.raises(ArtefactError) as of_other:
        go_on(work, run, checkpoint=foreign)
    (run.checkpoints / "step-00000004/state.json").write_text("{}")
    with pytest.raises(ArtefactError) as corrupt:
        go_on(work, run, checkpoint=run.checkpoints / "step-00000004")

    assert of_other.value.code == "CKP-007" and "another run" in of_other.value.what
    assert "state.json" in corrupt.value.what and corrupt.value.exit_code == 7


def test_nothing_verifies_is_never_a_cold_start(work: SmallWork) -> None:
    """With all checkpoints corrupt, or gone although the pointer names one, a resume refuses."""
    fail_at(work, 5, RuntimeError("x"))
    with pytest.raises(RuntimeError):
        start(work)
    run = the_run(work)
    for folder in run.checkpoints.glob("step-*"):
        (folder / "state.json").unlink()
    with pytest.raises(ArtefactError):
        go_on(work, run)
    for folder in run.checkpoints.glob("step-*"):
        shutil.rmtree(folder)
    with pytest.raises(InputError):
        go_on(work, run)
    assert run.status().name == "failed"


def test_run_that_died_before_its_first_save_starts_again_aloud(work: SmallWork) -> None:
    """There is nothing to load, so step 0 it is, and that is said."""
    fail_at(work, 1, RuntimeError("x"))
    with pytest.raises(RuntimeError):
        start(work)

    result = go_on(work, the_run(work))

    assert result.status == "finished" and work.seen(RunResumed)[0].step == 0
    assert any("starts again from step 0" in event.text for event in work.seen(Warned))


def test_finished_run_has_nothing_left(work: SmallWork) -> None:
    """Resuming a run whose steps are all done is exit 4 with the way to train longer."""
    result = start(work)

    with pytest.raises(InputError) as raised:
        go_on(work, result.run)

    assert raised.value.code == "RUN-006" and raised.value.exit_code == 4
    assert result.run.status().name == "finished"


def test_more_steps_and_other_retention_are_recorded(work: SmallWork) -> None:
    """What may change on a resume does; the difference stands in journal and lock, and the old lock stays."""
    result = start(work)
    longer = work.plan(steps=8, keep_last=5, patience=4)

    again = go_on(work, result.run, asked=longer)

    assert again.steps == 8 and again.status == "finished" and result.run.lock().steps == 8
    (resumed,) = work.seen(RunResumed)
    assert resumed.changes["steps"] == (6, 8) and resumed.changes["checkpoint.keep_last"] == (2, 5)
    assert resumed.changes["trainer.patience"] == (3, 4) and "steps: 6 -> 8" in resumed.summary
    assert Lock.from_dict(json.loads((result.run.path / "lock.a1.json").read_bytes())).steps == 6
    assert list(checkpoints.committed(result.run.checkpoints)) == [8, 6, 4]


def test_what_makes_another_run_is_refused_in_full(work: SmallWork) -> None:
    """Seed and options that are not resumable cannot change; all of them are named, and nothing is touched."""
    fail_at(work, 5, RuntimeError("x"))
    with pytest.raises(RuntimeError):
        start(work)
    run = the_run(work)

    with pytest.raises(UsageError) as raised:
        go_on(work, run, asked=work.plan(seed=1, weight=2))

    told = str(raised.value)
    assert raised.value.code == "RUN-007" and "trainer.weight" in told and "seed" in told
    assert journal.read(run.journal).attempt == 1 and run.status().name == "failed"


def test_fewer_steps_than_done_are_refused(work: SmallWork) -> None:
    """A run at step 6 cannot end at step 4."""
    result = start(work)

    with pytest.raises(UsageError, match="cannot end at step 4"):
        go_on(work, result.run, asked=work.plan(steps=4))


def test_other_data_under_a_run_is_refused(work: SmallWork) -> None:
    """The prepared set must be the one that the lock names."""
    fail_at(work, 5, RuntimeError("x"))
    with pytest.raises(RuntimeError):
        start(work)
    other = attrs.evolve(work.prepare(work.plan()), manifest_digest="sha256:other")

    with pytest.raises(ArtefactError) as raised:
        execute.resume(the_run(work), around=work.around(), open_data=lambda lock: other)

    assert raised.value.code == "RUN-012"


def test_changed_machine_is_told(work: SmallWork) -> None:
    """Another version of a library between attempts is a warning that names it; another command line is not."""
    fail_at(work, 5, RuntimeError("x"))
    with pytest.raises(RuntimeError):
        start(work, environment={"packages": {"torch": "1"}, "command": ["train"]})

    go_on(work, the_run(work), around={"environment": {"packages": {"torch": "2"}, "command": ["resume"]}})

    told = [event.text for event in work.seen(Warned) if event.code == "RUN-013"]
    assert told == ["environment.packages.torch was '1' and is '2'"]


def test_altered_journal_is_told_on_a_resume(work: SmallWork) -> None:
    """A torn line does not stop a resume, and it is not silent."""
    fail_at(work, 5, RuntimeError("x"))
    with pytest.raises(RuntimeError):
        start(work)
    run = the_run(work)
    path = run.journal / "r0-a1-000001.ndjson"
    path.write_bytes(path.read_bytes()[:-7])

    go_on(work, run)

    assert [event.code for event in work.seen(Warned)] == ["JRN-002"]

"""A run from plan to result, and its further attempts: whatever happens, the directory tells."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import attrs
import pytest

from codex_core import checkpoints, execute, journal, project_journal, runs
from codex_core.contracts import Loaded
from codex_core.errors import ArtefactError, InputError, Interrupted, MissingDependency, RunFailed, UsageError
from codex_core.events import (
    CheckpointRejected,
    CheckpointSaved,
    PluginFailed,
    RunFinished,
    RunResumed,
    RunStarted,
    StepDone,
    Warned,
    WriterDisabled,
)
from codex_core.execute import RunResult
from codex_core.lock import Lock
from codex_core.runs import RunDir
from codex_core.scrub import Scrubber
from codex_core.signals import Stop
from codex_core.testing.shell import SmallRows
from codex_core.testing.trainers import check_trainer
from tests.support.faulty_files import FaultyFiles
from tests.support.small_training import (
    DOCUMENTS,
    VOCAB,
    CountingModel,
    CountingModelClass,
    CountingTrainer,
    SmallWork,
    TrainerOptions,
    settle_small,
)
from tests.unit.core.test_sinks import ListWriter


@pytest.fixture
def work(tmp_path: Path) -> SmallWork:
    """A project with everything a small run needs."""
    return SmallWork(tmp_path)


def start(work: SmallWork, *, run_dir: Path | None = None, steps: int = 6, **changes: Any) -> RunResult:
    """Start a run of six steps that saves each second one."""
    return execute.run(
        work.plan(steps=steps), around=work.around(**changes), prepare=work.prepare, run_dir=run_dir
    )


def go_on(work: SmallWork, run: RunDir, *, around: dict[str, Any] | None = None, **how: Any) -> RunResult:
    """Continue a run."""
    return execute.resume(run, around=work.around(**(around or {})), open_data=work.open_data, **how)


def the_run(work: SmallWork) -> RunDir:
    """The one run of the project."""
    (run,) = runs.all_runs(work.places)
    return run


def fail_at(work: SmallWork, step: int, error: BaseException) -> None:
    """Let the trainer raise in a step, once."""

    def on_step(now: int) -> None:
        if now == step:
            work.on_step = None
            raise error

    work.on_step = on_step


def essence(run: RunDir) -> dict[str, bytes]:
    """What must be equal for broken and unbroken runs: metric views, and payload and state of the newest checkpoint."""
    files = [run.path / "metrics.ndjson", run.path / "metrics.csv"]
    newest = checkpoints.newest(run.checkpoints).path
    for part in ("model", "trainer", "tokenizer", "state.json"):
        files += [newest / part] if part.endswith(".json") else sorted(newest.joinpath(part).rglob("*.*"))
    return {str(path.relative_to(run.path)): path.read_bytes() for path in files}


def test_fake_trainer_keeps_the_contract(tmp_path: Path) -> None:
    """The trainer that these tests stand on passes the conformance suite of trainers."""
    data = SmallRows(documents=DOCUMENTS, seq_len=8)
    lock = attrs.evolve(
        settle_small(
            SmallWork(tmp_path).plan(), SmallWork(tmp_path).prepare(None), registry=None, environment={}
        ),
        log_every=1,
    )
    model = Loaded(id="small/model", target=CountingModelClass, options=None)
    check_trainer(
        lambda options: CountingTrainer(options),
        TrainerOptions(),
        model=model,
        data=data,
        lock=lock,
        folder=tmp_path,
    )


# --- an unbroken run -----------------------------------------------------------------------------------------


def test_run_directory_is_complete_when_a_run_ends(work: SmallWork) -> None:
    """Every file of the layout is there, the record says finished, and the result says where things are."""
    result = start(work)

    names = {path.name for path in result.run.path.iterdir()}
    assert names == {
        "run.json",
        "config.yaml",
        "lock.json",
        "environment.json",
        "data.json",
        "journal",
        "metrics.ndjson",
        "metrics.csv",
        "checkpoints",
        "run.lock",
    }
    record = result.run.record()
    assert (record["status"], record["step"], record["exit_code"], record["attempt"]) == ("finished", 6, 0, 1)
    assert record["checkpoint"]["manifest"] == "checkpoints/step-00000006/MANIFEST.json"
    assert (result.status, result.exit_code, result.steps) == ("finished", 0, 6)
    assert result.checkpoint == result.run.checkpoints / "step-00000006"
    assert list(checkpoints.committed(result.run.checkpoints)) == [6, 4]
    assert work.evaluated() == [2, 4, 6]


def test_lock_is_written_before_the_first_step_and_read_back_equal(work: SmallWork) -> None:
    """At step 1 the lock, the configuration, the data record and the environment are on disk."""
    seen: dict[str, Any] = {}

    def on_step(step: int) -> None:
        if step == 1:
            (folder,) = work.places.runs.iterdir()
            seen.update({path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()})

    work.on_step = on_step
    result = start(work)

    assert {"lock.json", "config.yaml", "data.json", "environment.json"} <= seen.keys()
    lock = Lock.from_dict(json.loads(seen["lock.json"]))
    assert lock.digest() == result.run.record()["lock_digest"] == result.run.lock().digest()
    assert (
        json.loads(seen["environment.json"])["python"] == "3" and lock.config["checkpoint"]["keep_last"] == 2
    )


def test_journal_tells_the_whole_story(work: SmallWork) -> None:
    """Start, steps, evaluations, saves and the end stand in the journal in order; progress does not."""
    result = start(work)

    history = journal.verify(result.run.journal)
    kinds = [record.kind for record in history.records]
    assert kinds[0] == "run_started" and kinds[-1] == "run_finished"
    assert kinds.count("step") == 6 and kinds.count("evaluation") == 3 and "progress" not in kinds
    saved = [record.fields["step"] for record in history.records if record.kind == "checkpoint_saved"]
    assert saved == [2, 4, 6]


def test_same_seed_gives_the_same_rows_and_another_seed_does_not(work: SmallWork, tmp_path: Path) -> None:
    """Two runs of one plan are equal to the byte; seed 0 is a seed like any other."""
    first, second = (start(SmallWork(tmp_path / name), run_dir=None) for name in "ab")
    plan = work.plan(seed=1)
    other = execute.run(plan, around=work.around(), prepare=work.prepare)

    assert essence(first.run) == essence(second.run)
    assert essence(other.run)["metrics.ndjson"] != essence(first.run)["metrics.ndjson"]


def test_rows_are_recomputed_from_weights_and_batch(work: SmallWork) -> None:
    """No number is invented: each loss follows from the model before the step and the rows of the step."""
    result = start(work)
    data = SmallRows(documents=DOCUMENTS, seq_len=8)
    counts = [0] * VOCAB
    expected = []
    for step in range(6):
        batch = data.rows(step * 2, 2)
        targets = [int(token) for token in batch.targets[batch.loss_mask]]

        logs = CountingModel(counts).loglikelihood([[0, *targets]])[0]
        expected.append(-sum(logs) / len(logs))
        for token in targets:
            counts[token] += 1

    rows = [json.loads(line) for line in (result.run.path / "metrics.ndjson").read_text().splitlines()]
    assert [row["loss"] for row in rows if row["split"] == "train"] == pytest.approx(expected, rel=1e-12)


def test_directory_holds_no_absolute_path_and_moves(work: SmallWork) -> None:
    """No file names the place; a moved run is found, resumed checks included."""
    result = start(work)
    for path in result.run.path.rglob("*"):
        if path.is_file() and path.name != "run.lock":
            assert str(work.folder).encode() not in path.read_bytes(), path
    moved = work.folder / "moved"
    shutil.move(result.run.path, moved)

    assert checkpoints.find(moved).step == 6 and RunDir.open(moved).status().name == "finished"


def test_plugins_are_told_at_start_save_and_end(work: SmallWork) -> None:
    """Event hooks get frozen contexts with real paths; the end is told when the files are complete."""
    seen: dict[str, str] = {}

    def finished(context: Any) -> None:
        seen["status"] = RunDir(context.run_dir).record()["status"]
        seen["last"] = journal.read(context.run_dir / "journal").records[-1].kind

    work.registry.hooks["codex_run_finished"] = finished
    start(work)

    hooks = [hook for hook, _ in work.registry.fired]
    assert hooks == ["codex_run_started", *["codex_checkpoint_saved"] * 3, "codex_run_finished"]
    assert [
        context.path.name for hook, context in work.registry.fired if hook == "codex_checkpoint_saved"
    ] == [
        "step-00000002",
        "step-00000004",
        "step-00000006",
    ]
    assert (
        work.registry.fired[3][1].path.is_dir()
        and work.registry.fired[0][1].telemetry["system_metrics"] == "off"
    )
    assert seen == {"status": "finished", "last": "run_finished"}


def test_failing_hook_and_display_do_not_stop_a_run(work: SmallWork) -> None:
    """A plugin's hook that raises is told once; a display that raises is switched off and told."""

    def broken(context: Any) -> None:
        raise RuntimeError("plugin trouble")

    work.registry.hooks["codex_checkpoint_saved"] = broken

    def display(event: Any) -> None:
        work.events.append(event)
        if isinstance(event, StepDone):
            raise RuntimeError("no terminal")

    result = start(work, on_event=display)

    records = journal.read(result.run.journal).records
    assert result.status == "finished"
    assert [record.kind for record in records].count(PluginFailed.kind) == 1
    assert [record.fields["code"] for record in records if record.kind == "warning"] == ["RUN-015"]


def test_writers_get_the_rows_of_the_views(work: SmallWork) -> None:
    """A writer receives what the metric files hold; one that fails is told and changes nothing."""
    good, bad = ListWriter(), ListWriter(problem="not here")
    work.registry.targets |= {"small/good": lambda options: good, "small/bad": lambda options: bad}
    plan = work.plan()
    one = plan.choices["model"]
    writers = {
        f"writers[{n}]": attrs.evolve(one, id=f"small/{name}") for n, name in enumerate(("good", "bad"))
    }
    plan = attrs.evolve(plan, choices=plan.choices | writers)

    result = execute.run(plan, around=work.around(), prepare=work.prepare)

    rows = [json.loads(line) for line in (result.run.path / "metrics.ndjson").read_text().splitlines()]
    assert [dict(row) for _, row in good.rows] == rows and good.calls[-1] == "close"
    assert [event.name for event in work.seen(WriterDisabled)] == ["small/bad"]


def test_secrets_reach_no_file_of_the_run(work: SmallWork) -> None:
    """A secret in configuration, environment, warnings and errors is replaced before anything is written."""
    secret = "s3cr3t-value-123"
    plan = work.plan()
    plan = attrs.evolve(plan, config=dict(plan.config) | {"note": f"https://u:{secret}@host {secret}"})
    fail_at(work, 5, RuntimeError(f"cannot reach {secret}"))
    around = work.around(
        scrub=Scrubber.of({"API_KEY": secret}), environment={"command": [secret], "python": "3"}
    )

    with pytest.raises(RuntimeError):
        execute.run(plan, around=around, prepare=work.prepare)

    for path in work.places.runs.rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes(), path


# --- resume --------------------------------------------------------------------------------------------------


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


# --- failures ------------------------------------------------------------------------------------------------


class OutOfMemoryError(RuntimeError):
    """Named like torch's."""


@pytest.mark.parametrize(
    ("error", "raised_as", "code", "exit_code"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), RunFailed, "RUN-008", 1),
        (MemoryError("8 GB"), RunFailed, "RUN-011", 1),
        (OutOfMemoryError("cuda"), RunFailed, "RUN-011", 1),
        (RunFailed(code="TRN-001", what="diverged"), RunFailed, "TRN-001", 1),
        (ZeroDivisionError("a bug"), ZeroDivisionError, None, 70),
        (KeyboardInterrupt(), KeyboardInterrupt, None, 130),
        (Interrupted(signal_number=15, what="stopped by SIGTERM"), Interrupted, "RUN-010", 143),
    ],
)
def test_failure_is_recorded_with_its_cause(
    work: SmallWork, error: BaseException, raised_as: type, code: str | None, exit_code: int
) -> None:
    """Status, cause and exit code stand in record, journal and project journal; the newest checkpoint loads."""
    fail_at(work, 5, error)
    with pytest.raises(raised_as):
        start(work)

    run = the_run(work)
    record, status = run.record(), run.status()
    assert (
        status.name == ("interrupted" if exit_code > 100 else "failed") and record["exit_code"] == exit_code
    )
    assert record["step"] == 4 and record["ended"] is not None
    if code and code.startswith(("RUN-008", "RUN-011", "TRN")):
        assert code in status.reason
    last = journal.verify(run.journal).records[-1]
    assert last.kind == "run_finished" and last.fields["exit_code"] == exit_code
    assert checkpoints.newest(run.checkpoints).step == 4
    assert len((run.path / "metrics.ndjson").read_text().splitlines()) == 6
    rows = [row for row in project_journal.rows(work.places) if row["kind"] == "failure"]
    assert len(rows) == 1 and rows[0]["run"] == run.path.name
    assert work.registry.fired[-1][0] == "codex_run_finished"
    assert work.registry.fired[-1][1].status == status.name


@pytest.mark.parametrize(
    "stride", [pytest.param(11, id="sample"), pytest.param(1, id="all", marks=pytest.mark.proof)]
)
def test_disk_that_fills_at_any_write_leaves_a_usable_run(tmp_path: Path, stride: int) -> None:
    """Fill the disk at each file operation from the first step on: exit 1, the newest checkpoint verifies, a resume
    ends equal to the unbroken run.
    """
    whole = SmallWork(tmp_path / "whole")
    counting = FaultyFiles()
    marks: list[int] = []
    whole.on_step = lambda step: marks.append(len(counting.done)) if step == 1 else None
    unbroken = start(whole, files=counting, steps=4)
    for at in range(marks[0] + 1, len(counting.done) + 1, stride):
        work = SmallWork(tmp_path / f"at-{at}")
        try:
            result = start(work, files=FaultyFiles(at=at, mode="full"), steps=4)
        except RunFailed as failed:
            assert failed.exit_code == 1
            run = the_run(work)
            assert run.status().name == "failed", at
            result = go_on(work, run, around={"files": FaultyFiles()})
        assert essence(result.run) == essence(unbroken.run), at


def test_missing_component_is_refused_before_anything_exists(work: SmallWork) -> None:
    """A plan with something not installed is exit 3, one row in the project's journal, and no folder."""
    plan = work.plan()
    missing = attrs.evolve(
        plan.choices["model"], state="not-installed", problem="no torch", fix="pip install x"
    )
    plan = attrs.evolve(plan, choices=plan.choices | {"model": missing})

    with pytest.raises(MissingDependency) as raised:
        execute.run(plan, around=work.around(), prepare=work.prepare)

    assert raised.value.exit_code == 3 and not work.places.runs.exists()
    assert [row["exit_code"] for row in project_journal.rows(work.places)] == [3]


@pytest.mark.parametrize(
    "error", [InputError(code="DAT-001", what="no file"), Interrupted(signal_number=2, what="stopped")]
)
def test_failure_while_preparing_leaves_no_folder(work: SmallWork, error: BaseException) -> None:
    """Bad data or Ctrl-C before the lock: nothing half-written, and the place is free for the next try."""

    def prepare(plan: Any) -> Any:
        raise error

    place = work.folder / "out"
    with pytest.raises(type(error)):
        execute.run(work.plan(), around=work.around(), prepare=prepare, run_dir=place)

    assert not place.exists()
    assert start(work, run_dir=place).status == "finished"


def test_disk_full_before_the_lock_is_an_input_error(work: SmallWork) -> None:
    """Each operation up to the lock that finds the disk full is exit 4 and leaves no folder."""
    counting = FaultyFiles()
    marks: list[int] = []
    work.on_step = lambda step: marks.append(len(counting.done)) if step == 1 else None
    shutil.rmtree(start(work, files=counting).run.path)
    num_created = counting.done.index("append") - 4  # the record says "running" right before the first event
    told = 0
    for at in range(1, num_created + 1):
        try:
            shutil.rmtree(start(work, files=FaultyFiles(at=at, mode="full")).run.path)
            assert any(
                event.code == "RUN-016" for event in work.seen(Warned)
            )  # environment.json may be missing
            work.events.clear()
        except InputError as error:
            assert error.code == "RUN-002" and error.exit_code == 4
            assert list(work.places.runs.iterdir()) == []
            told += 1
    assert told > num_created // 2


# --- stopping ------------------------------------------------------------------------------------------------


def test_stop_finishes_the_step_saves_and_says_so(tmp_path: Path) -> None:
    """A first signal: the step ends, a checkpoint is saved, status interrupted, exit 143; a resume ends equal."""
    whole = start(SmallWork(tmp_path / "whole"))
    work, stop = SmallWork(tmp_path / "stopped"), Stop()

    def on_step(step: int) -> None:
        if step == 3:
            work.on_step = None
            stop.request(signal.SIGTERM)

    work.on_step = on_step
    result = start(work, stop=stop)

    assert (result.status, result.exit_code, result.steps) == ("interrupted", 143, 3)
    assert result.run.status().name == "interrupted" and checkpoints.newest(result.run.checkpoints).step == 3
    assert runs.newest_unfinished(work.plan().config_hash, work.places).path == result.run.path.resolve()
    go_on(work, result.run)
    assert essence(result.run)["metrics.csv"] == essence(whole.run)["metrics.csv"]
    assert essence(result.run) == essence(whole.run)


KILLED = """
import os, signal, sys
from pathlib import Path
from codex_core import execute
from tests.support.small_training import SmallWork

work = SmallWork(Path(sys.argv[1]))
step = int(sys.argv[2])
work.on_step = lambda now: os.kill(os.getpid(), signal.SIGKILL) if now == step else None
execute.run(work.plan(), around=work.around(), prepare=work.prepare)
"""


@pytest.mark.parametrize("step", [1, 4, 6])
def test_killed_process_is_abandoned_and_resumes_equal(tmp_path: Path, step: int) -> None:
    """SIGKILL in a real process: the run is shown as abandoned, `--resume auto` finds it, and it ends equal."""
    whole = start(SmallWork(tmp_path / "whole"))
    work = SmallWork(tmp_path / "killed")
    work.folder.mkdir()
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(work.folder), str(step)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    run = runs.newest_unfinished(work.plan().config_hash, work.places)
    assert run.status().name == "abandoned"

    go_on(work, run)

    assert essence(run) == essence(whole.run)
    assert any(event.code == "RUN-017" for event in work.seen(Warned))


def test_second_process_on_a_run_is_refused(work: SmallWork) -> None:
    """While a run is being worked on, a resume of it is exit 7 and changes nothing."""
    refused: list[ArtefactError] = []

    def on_step(step: int) -> None:
        if step == 3:
            with pytest.raises(ArtefactError) as raised:
                go_on(work, the_run(work))
            refused.append(raised.value)

    work.on_step = on_step
    result = start(work)

    assert refused[0].code == "RUN-003" and result.status == "finished"
    assert len(work.seen(RunStarted)) == len(work.seen(RunFinished)) == 1
    assert len(work.seen(CheckpointSaved)) == 3

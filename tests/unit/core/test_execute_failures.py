"""Runs that end otherwise: the right status, the right cause, a usable directory, nothing half-written."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs
import pytest

from codex_core import checkpoints, execute, journal, runs
from codex_core.errors import ArtefactError, InputError, Interrupted, MissingDependency, RunFailed
from codex_core.events import (
    CheckpointSaved,
    RunFinished,
    RunStarted,
    Warned,
)
from codex_core.running import project_journal
from codex_core.running.signals import Stop
from tests.support.faulty_files import FaultyFiles
from tests.support.small_runs import essence, fail_at, go_on, start, the_run
from tests.support.small_training import (
    SmallWork,
)


@pytest.fixture
def work(tmp_path: Path) -> SmallWork:
    """A project with everything a small run needs."""
    return SmallWork(tmp_path)


class OutOfMemoryError(RuntimeError):
    """Named like torch's."""


@pytest.mark.parametrize(
    ("error", "raised_as", "code", "exit_code"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), RunFailed, "RUN-008", 1),
        (MemoryError("8 GB"), RunFailed, "RUN-011", 1),
        (OutOfMemoryError("cuda"), RunFailed, "RUN-011", 1),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), RunFailed, "RUN-011", 1),
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
        with suppress(RunFailed):
            start(work, files=FaultyFiles(at=at, mode="full"), steps=4)
        run = the_run(work)
        status = run.status().name
        # When only the last replacement of the record failed, the journal tells that all was done.
        assert status == "failed" or (status == "finished" and run.record()["step"] == 4), at
        if run.record()["status"] != "finished":
            go_on(work, run, around={"files": FaultyFiles()})
        assert essence(run) == essence(unbroken.run), at


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


# --- stopping --------------------------------------------------------------------------------


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


def test_disk_full_at_the_first_record_is_a_failed_run(work: SmallWork, tmp_path: Path) -> None:
    """Between lock and first step too: exit 1, status failed, and a resume does the whole run."""
    counting = FaultyFiles()
    unbroken = start(SmallWork(tmp_path / "whole"), files=counting)

    with pytest.raises(RunFailed) as raised:
        start(work, files=FaultyFiles(at=counting.done.index("append") + 1, mode="full"))

    run = the_run(work)
    assert raised.value.code == "RUN-008" and run.status().name == "failed"
    go_on(work, run)
    assert essence(run) == essence(unbroken.run)

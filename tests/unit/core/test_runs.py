"""Run directories: created once, claimed by one process, found again, honest about how they ended."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import attrs
import pytest

from codex_core import runs
from codex_core.errors import ArtefactError, InputError, UsageError
from codex_core.files import write_atomic
from codex_core.places import Places
from codex_core.running import claims, processes, project_journal
from codex_core.running.processes import Process
from codex_core.runs import RunDir
from tests.support.faulty_files import FaultyFiles


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """A project in an empty folder."""
    return Places(root=tmp_path, home=tmp_path / "home", store=tmp_path / "store")


def fixed_now() -> datetime:
    """A moment that does not move."""
    return datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_folder_is_named_by_date_name_and_id(places: Places) -> None:
    """`runs/<date>_<name>_<id8>/` with what a name cannot hold replaced, and a record that says what it is."""
    run = RunDir.create(places, name="my run/1", now=fixed_now, tags={"who": "me"})

    record = run.record()
    assert run.path == places.runs / f"2026-01-02_my-run-1_{record['id'][:8]}"
    assert (
        record["name"] == "my run/1" and record["tags"] == {"who": "me"} and record["status"] == "preparing"
    )
    assert record["created"] == "2026-01-02T03:04:05.000000Z"


def test_runs_of_the_same_second_do_not_collide(places: Places) -> None:
    """Many runs created at once, at the same moment, each get a folder of their own."""
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: RunDir.create(places, name="x", now=fixed_now).path, range(40)))

    assert len(set(made)) == 40 and all((path / "run.json").is_file() for path in made)


def test_existing_folder_is_refused_with_the_way_on(places: Places, tmp_path: Path) -> None:
    """A run never writes over another: the fix names `--resume`; a folder that is no run is refused as well."""
    RunDir.create(places, name="x", run_dir=tmp_path / "out")
    (tmp_path / "other").mkdir()

    with pytest.raises(InputError) as raised:
        RunDir.create(places, name="x", run_dir=tmp_path / "out")
    with pytest.raises(InputError) as other:
        RunDir.create(places, name="x", run_dir=tmp_path / "other")

    assert raised.value.code == "RUN-001" and "--resume" in str(raised.value.fix)
    assert "--resume" not in str(other.value.fix) and raised.value.exit_code == 4


def test_full_disk_before_the_start_leaves_nothing(places: Places) -> None:
    """Whichever operation finds the disk full, the answer is exit 4 and no half-made folder."""
    files = FaultyFiles()
    shutil.rmtree(RunDir.create(places, name="x", files=files).path)
    assert len(files.done) >= 6
    for at in range(1, len(files.done) + 1):
        with pytest.raises(InputError) as raised:
            RunDir.create(places, name="x", files=FaultyFiles(at=at, mode="full"))
        assert raised.value.code == "RUN-002" and raised.value.exit_code == 4
        assert list(places.runs.iterdir()) == []


def test_place_that_cannot_be_written_is_an_input_error(places: Places, tmp_path: Path) -> None:
    """A file where a folder is needed is told before anything else happens."""
    (tmp_path / "file").write_text("")

    with pytest.raises(InputError) as raised:
        RunDir.create(places, name="x", run_dir=tmp_path / "file" / "out")

    assert raised.value.code == "RUN-002"


def test_damaged_record_is_named(places: Places) -> None:
    """A `run.json` that is not ours is exit 7 with its path; a folder without one is no run."""
    run = RunDir.create(places, name="x")
    for text in ("{", "[]", '{"format": "codex-rundir/9"}', '{"format": "codex-rundir/1", "id": 5}'):
        (run.path / "run.json").write_text(text)
        with pytest.raises(ArtefactError) as raised:
            RunDir.open(run.path)
        assert raised.value.code == "RUN-009" and "run.json" in str(raised.value.where)
    with pytest.raises(InputError):
        RunDir.open(places.root)


def test_replaced_file_of_an_earlier_attempt_is_kept(places: Places) -> None:
    """A lock that changes on a resume stays readable under the attempt's number; an equal one makes no copy."""
    run = RunDir.create(places, name="x")
    for attempt, text in enumerate(("one", "one", "two"), start=1):
        run.replace("lock.json", text, attempt=attempt)

    assert {path.name: path.read_text() for path in run.path.glob("lock*")} == {
        "lock.json": "two",
        "lock.a2.json": "one",
    }


# --- claims and statuses -------------------------------------------------------------------------------------

HOLD = """
import sys
from pathlib import Path
from codex_core.runs import RunDir
run = RunDir.open(Path(sys.argv[1]))
claim = run.claim()
run.update({"status": "running"})
print("held", flush=True)
sys.stdin.read()
if sys.argv[2] == "end":
    run.update({"status": "finished"})
    claim.release()
"""


@contextmanager
def holding(run: RunDir, how: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds a run until its input is closed."""
    command = [sys.executable, "-c", HOLD, str(run.path), how]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_second_process_is_refused_with_host_and_pid(places: Places) -> None:
    """Two processes on one run: exit 7 naming who holds it; afterwards the run is free."""
    run = RunDir.create(places, name="x")
    with holding(run, "end") as process:
        with pytest.raises(ArtefactError) as raised:
            run.claim()
        assert run.status().name == "running"
        process.communicate()

    assert raised.value.code == "RUN-003" and raised.value.exit_code == 7
    assert str(process.pid) in raised.value.what and Process.current().host in raised.value.what
    assert run.status().name == "finished"
    with run.claim() as claim:
        assert claim.stale is None


def test_killed_process_leaves_an_abandoned_run(places: Places) -> None:
    """A run whose process is gone without a last word is shown as abandoned, and can be claimed by the next one."""
    run = RunDir.create(places, name="x")
    with holding(run, "never") as process:
        process.kill()
        process.wait()

    status = run.status()
    assert status.name == "abandoned" and "without a record" in status.reason and not status.is_over
    with run.claim() as claim:
        assert claim.stale is not None and claim.stale.pid == process.pid
    assert run.record()["status"] == "running"  # the reader works it out, nothing is rewritten


def test_kernel_kills_are_told_from_the_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cgroup whose out-of-memory count rose since the run began names the cause of death."""
    monkeypatch.setattr(processes, "num_oom_kills", lambda: 3)
    before = attrs.evolve(Process.current(), oom_kills=2)

    assert before.cause_of_death() == "out of memory (cgroup oom_kill 1)"
    assert "out of memory" not in attrs.evolve(before, oom_kills=3).cause_of_death()
    assert "out of memory" not in attrs.evolve(before, oom_kills=None).cause_of_death()


def test_out_of_memory_count_is_read_from_the_cgroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The count stands in `memory.events` of the process's own cgroup; where there is none it is unknown."""
    monkeypatch.setattr(processes, "_PROC", tmp_path / "proc")
    monkeypatch.setattr(processes, "_CGROUPS", tmp_path / "cgroup")
    assert processes.num_oom_kills() is None
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/job/1\n")
    (tmp_path / "cgroup/job/1").mkdir(parents=True)
    (tmp_path / "cgroup/job/1/memory.events").write_text("low 0\noom 1\noom_kill 2\n")
    assert processes.num_oom_kills() == 2


def test_reused_pid_is_not_taken_for_the_old_process() -> None:
    """The same pid with another start time, or of an earlier boot, is dead; another host cannot be judged."""
    here = Process.current()

    assert here.is_alive() is True
    assert attrs.evolve(here, started=(here.started or 0) + 1).is_alive() is False
    assert attrs.evolve(here, boot="another").is_alive() is False
    assert attrs.evolve(here, host="elsewhere").is_alive() is None
    assert attrs.evolve(here, started=None, pid=2**22 + 1).is_alive() is False


def test_lock_without_flock_goes_by_the_named_process(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the file system has no flock, a living or a foreign holder is respected and a dead one is not."""
    run = RunDir.create(places, name="x")
    monkeypatch.setattr(claims, "fcntl", None)
    here = Process.current()
    for named, is_free in [
        (attrs.evolve(here, host="elsewhere"), False),
        (here, False),
        (attrs.evolve(here, pid=2**22 + 1), True),
    ]:
        (run.path / claims.LOCK_NAME).write_text(json.dumps(named.as_dict()))
        if is_free:
            run.claim().release()
        else:
            with pytest.raises(ArtefactError):
                run.claim()
    assert claims.holder(run.path) is None


def test_holder_on_another_host_is_believed_while_the_file_is_locked(places: Places) -> None:
    """A process that cannot be seen counts as alive exactly while its lock is held."""
    run = RunDir.create(places, name="x")
    with run.claim():
        foreign = attrs.evolve(Process.current(), host="elsewhere")
        (run.path / claims.LOCK_NAME).write_text(json.dumps(foreign.as_dict()))
        assert claims.is_held(run.path)
    (run.path / claims.LOCK_NAME).write_text(json.dumps(foreign.as_dict()))
    assert not claims.is_held(run.path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 3}', '{"host": 1, "pid": "x"}'])
def test_unreadable_lock_names_nobody(places: Places, text: str) -> None:
    """Whatever stands in a lock file, reading it does not fail."""
    run = RunDir.create(places, name="x")
    (run.path / claims.LOCK_NAME).write_text(text)

    assert claims.holder(run.path) is None
    run.claim().release()


# --- finding -------------------------------------------------------------------------------------------------


def test_runs_are_found_by_id_name_path_and_as_the_last(places: Places, tmp_path: Path) -> None:
    """Every way in which people refer to a run leads to it, also for a run placed elsewhere."""
    first = RunDir.create(places, name="first")
    last = RunDir.create(places, name="last", run_dir=tmp_path / "elsewhere" / "out")

    identity = first.record()["id"]
    for reference in (
        identity[:8],
        identity,
        "first",
        first.path.name,
        str(first.path),
        str(first.checkpoints),
    ):
        assert runs.find(reference, places).path.resolve() == first.path.resolve()
    assert runs.find("@last", places).path == last.path.resolve()
    assert [run.record()["name"] for run in runs.all_runs(places)] == ["first", "last"]


def test_reference_that_fits_none_or_several_is_refused(places: Places) -> None:
    """No match names the newest runs; several matches ask for more of the id; short prefixes match nothing."""
    with pytest.raises(InputError, match="no run matches"):
        runs.find("@last", places)
    for _ in range(2):
        run = RunDir.create(places, name="twin")
    with pytest.raises(UsageError) as several:
        runs.find("twin", places)
    with pytest.raises(InputError) as none:
        runs.find(run.record()["id"][:3], places)

    assert several.value.code == "RUN-005" and none.value.code == "RUN-004" and "twin" in str(none.value.why)


def test_listing_passes_over_what_is_no_run(places: Places) -> None:
    """Stray files, half-copied folders and broken records do not stop a listing."""
    run = RunDir.create(places, name="x")
    (places.runs / "README").write_text("")
    (places.runs / "empty").mkdir()
    shutil.copytree(run.path, places.runs / "broken")
    (places.runs / "broken" / "run.json").write_text("{")
    project_journal.append(places, "run_created", {"path": "/does/not/exist"})

    assert [found.path.name for found in runs.all_runs(places)] == [run.path.name]


def test_newest_unfinished_run_of_a_configuration(places: Places) -> None:
    """`--resume auto` takes the newest run of the hash that is not over and has a lock; else exit 4 with a hint."""
    made = []
    for number, (status, config_hash, has_lock) in enumerate(
        [
            ("failed", "h", True),
            ("interrupted", "h", True),
            ("finished", "h", True),
            ("stopped", "h", True),
            ("failed", "other", True),
            ("preparing", "h", False),
        ]
    ):
        run = RunDir.create(
            places, name="x", now=lambda number=number: datetime(2026, 1, 1 + number, tzinfo=UTC)
        )
        run.update({"status": status, "config_hash": config_hash})
        if has_lock:
            write_atomic(run.path / "lock.json", "{}")
        made.append(run)

    assert runs.newest_unfinished("h", places).path == made[1].path.resolve()
    with pytest.raises(InputError) as raised:
        runs.newest_unfinished("unknown", places)
    assert raised.value.exit_code == 4 and "--resume-or-start" in str(raised.value.fix)


def test_run_directory_holds_no_absolute_path(places: Places) -> None:
    """A run can be moved: its record names no place on this machine."""
    run = RunDir.create(places, name="x")
    moved = places.root / "moved"
    os.rename(run.path, moved)

    assert str(places.root) not in (moved / "run.json").read_text()
    assert RunDir.open(moved).record()["name"] == "x"


def test_what_a_killed_process_was_replacing_is_tidied(tmp_path: Path) -> None:
    """Half-written replacements go, and no file of the run or of anybody else does."""
    for name in (".run.json.tmp-77", ".data.json.tmp-1", "run.json", "notes.tmp-1", ".hidden"):
        (tmp_path / name).write_text("x")

    RunDir(tmp_path).tidy()

    assert sorted(path.name for path in tmp_path.iterdir()) == [".hidden", "notes.tmp-1", "run.json"]

"""Saves beside the training: the same bytes, one at a time, told on the trainer's thread, never lost in silence."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from codex_core import checkpoints
from codex_core.checkpoints import Rule
from codex_core.errors import ArtefactError, Interrupted, RunFailed
from codex_core.events import CheckpointSaved, Warned
from codex_core.files import Files
from tests.support.checkpoint_stores import Clock, payload_of, save, store_in
from tests.support.faulty_files import MODES, FaultyFiles, Killed


class Gate:
    """A payload file that is written when the gate is opened."""

    def __init__(self) -> None:
        self.is_open, self.is_reached = threading.Event(), threading.Event()

    def files(self, step: int) -> dict[str, Any]:
        """The files of a step, the first of which waits."""

        def wait(path: Path) -> None:
            self.is_reached.set()
            assert self.is_open.wait(timeout=30), "nobody opened the gate"
            path.write_bytes(b"late")

        return {**payload_of(step), "model/a-late.bin": wait}


def all_bytes(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_files_are_those_of_a_save_that_was_waited_for(tmp_path: Path) -> None:
    """Every byte of every file, manifests and pointers included, is the same both ways."""
    folders = []
    for name, is_beside in (("waiting", False), ("beside", True)):
        store = store_in(tmp_path / name, asynchronous=is_beside, rule=Rule(keep_last=2), now=Clock())
        for step in (10, 20, 30):
            save(store, step, detached=True)
        store.finish()
        folders.append(all_bytes(store.root))

    assert folders[0] == folders[1] and len(folders[0]) > 10


def test_training_goes_on_while_a_checkpoint_is_written(tmp_path: Path) -> None:
    """`save` returns before the bytes are written; the event comes once the checkpoint has verified, in `is_due`."""
    events: list[Any] = []
    main = threading.get_ident()
    store = store_in(
        tmp_path, asynchronous=True, emit=lambda event: events.append((event, threading.get_ident()))
    )
    gate = Gate()
    save(store, 10, files=gate.files(10), detached=True)
    assert gate.is_reached.wait(timeout=30)

    assert not store.is_due(11) and events == [] and not checkpoints.committed(store.root)
    gate.is_open.set()
    store.finish()

    ((event, thread),) = events
    assert isinstance(event, CheckpointSaved) and event.step == 10 and thread == main
    assert checkpoints.newest(store.root).digest == event.manifest_digest
    assert event.seconds is not None and event.seconds > 0


def test_next_save_waits_for_the_one_before(tmp_path: Path) -> None:
    """There is never more than one save in flight, and parents follow each other."""
    store = store_in(tmp_path, asynchronous=True)
    gate = Gate()
    save(store, 10, files=gate.files(10), detached=True)
    assert gate.is_reached.wait(timeout=30)
    opener = threading.Timer(0.01, gate.is_open.set)
    opener.start()
    save(store, 20, detached=True)
    store.finish()

    newest = checkpoints.newest(store.root)
    assert (newest.step, newest.manifest["parent"]["path"]) == (20, "step-00000010")


def test_what_is_not_detached_is_written_before_save_returns(tmp_path: Path) -> None:
    """A trainer that does not promise copies is never written beside its training."""
    store = store_in(tmp_path, asynchronous=True)
    save(store, 10)

    assert checkpoints.newest(store.root).step == 10


def test_state_is_that_of_the_moment(tmp_path: Path) -> None:
    """What the trainer changes in its state after the call does not reach the disk."""
    store, gate, state = store_in(tmp_path, asynchronous=True), Gate(), {"sums": [1, 2]}
    save(store, 10, files=gate.files(10), state=state, detached=True)
    state["sums"].append(3)
    gate.is_open.set()
    store.finish()

    assert checkpoints.newest(store.root).state == {"sums": [1, 2]}


@pytest.mark.parametrize("surface", ["is_due", "save", "finish", "settled"])
def test_failure_surfaces_wherever_the_trainer_comes_next(tmp_path: Path, surface: str) -> None:
    """A disk that fails beside the training raises at the next step edge, save or end; the one before stays."""
    save(store_in(tmp_path), 10)
    store = store_in(tmp_path, files=FaultyFiles(at=6, mode="full"), asynchronous=True)

    def act() -> None:
        save(store, 20, detached=True)
        if surface == "is_due":
            assert store._in_flight is not None
            assert store._in_flight._has_ended.wait(timeout=30)
            store.is_due(21)
        elif surface == "save":
            save(store, 30, detached=True)
        elif surface == "finish":
            store.finish()

    with pytest.raises(RunFailed) as raised, store.settled():
        act()

    assert raised.value.code == "RUN-008" and "step 20" in raised.value.what
    assert checkpoints.newest(store.root).step == 10
    assert not list(store.root.glob("*.tmp-*"))


def test_failure_of_the_training_is_told_first(tmp_path: Path) -> None:
    """When both fail, the training's own failure is raised and carries a note of the other."""
    store = store_in(tmp_path, files=FaultyFiles(at=6, mode="fail"), asynchronous=True)
    with pytest.raises(ZeroDivisionError) as raised, store.settled():
        save(store, 10, detached=True)
        raise ZeroDivisionError("the training")

    assert any("checkpoint in flight" in note for note in raised.value.__notes__)


def test_failed_training_still_finishes_the_save_in_flight(tmp_path: Path) -> None:
    """A step that fails does not cost the checkpoint that was being written."""
    events: list[Any] = []
    store = store_in(tmp_path, asynchronous=True, emit=events.append)
    with pytest.raises(RunFailed), store.settled():
        save(store, 10, detached=True)
        raise RunFailed(code="TRN-002", what="diverged")

    assert checkpoints.newest(store.root).step == 10
    assert [type(event) for event in events] == [CheckpointSaved]


@pytest.mark.parametrize("stop", [Interrupted(signal_number=2, what="stopped"), KeyboardInterrupt()])
def test_stop_at_once_gives_the_save_up_aloud(tmp_path: Path, stop: BaseException) -> None:
    """A second signal does not wait for a large checkpoint: it is given up between files, and that is told."""
    save(store_in(tmp_path), 10)
    events: list[Any] = []
    store, gate = store_in(tmp_path, asynchronous=True, emit=events.append), Gate()
    with pytest.raises(type(stop)), store.settled():
        save(store, 20, files=gate.files(20), detached=True)
        assert gate.is_reached.wait(timeout=30)
        threading.Timer(0.01, gate.is_open.set).start()
        raise stop

    assert checkpoints.newest(store.root).step == 10 and not list(store.root.glob("*.tmp-*"))
    assert [event.text for event in events if isinstance(event, Warned)] == [
        "the save in flight was given up: the run was stopped at once"
    ]


class Spoiling(Files):
    """Changes a byte of the payload after it was written, as failing memory or hardware does."""

    def rename(self, source: Path, target: Path) -> None:
        if ".tmp-" in source.name and source.is_dir() and (source / "model").is_dir():
            (source / "model/weights.bin").write_bytes(b"weights of step 99")
        super().rename(source, target)


@pytest.mark.parametrize("is_beside", [False, True])
def test_what_does_not_verify_goes_to_quarantine(tmp_path: Path, is_beside: bool) -> None:
    """A save whose bytes cannot be read back as written fails aloud, and its folder is out of every loader's way."""
    events: list[Any] = []
    save(store_in(tmp_path), 10)
    store = store_in(tmp_path, files=Spoiling(), asynchronous=is_beside, emit=events.append)
    with pytest.raises(ArtefactError, match=r"weights\.bin"):
        save(store, 20, detached=True)
        store.finish()

    assert list(checkpoints.committed(store.root)) == [10]
    assert len(list((store.root / "quarantine").iterdir())) == 1
    assert [event.code for event in events] == ["CKP-008"] and "step-00000020" in events[0].text


def test_digest_that_a_writer_tells_is_proved(tmp_path: Path) -> None:
    """A writer may tell the digest of what it wrote; one that does not fit the bytes fails the save."""
    store = store_in(tmp_path)

    def lie(path: Path) -> str:
        path.write_bytes(b"x")
        return "blake3:" + "0" * 64

    with pytest.raises(ArtefactError, match=r"m\.bin: checksum mismatch"):
        save(store, 10, files={"model/m.bin": lie})

    assert list(checkpoints.committed(store.root)) == []


def test_corrupt_newest_goes_to_quarantine_at_the_next_start(tmp_path: Path) -> None:
    """The attempt that falls back moves the corrupt one away aloud, so that it can never come back."""
    store = store_in(tmp_path)
    for step in (10, 20):
        save(store, step)
    (store.root / "step-00000020/model/weights.bin").write_bytes(b"bad")
    events: list[Any] = []
    again = store_in(tmp_path, emit=events.append)

    again.clear()

    assert list(checkpoints.committed(again.root)) == [10]
    (kept,) = (again.root / "quarantine").iterdir()
    assert kept.name.startswith("step-00000020-") and (kept / "model/weights.bin").read_bytes() == b"bad"
    assert [event.code for event in events] == ["CKP-008"] and "weights.bin" in events[0].text


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_loader_finds_a_verified_checkpoint_wherever_a_save_beside_breaks(
    tmp_path: Path, mode: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every operation of a save in flight in turn, pointers and pruning of last, best and aside included."""
    rule = Rule(keep_last=1, keep_best=1, split="validation", metric="loss")

    def prepare(folder: Path) -> None:
        store = store_in(folder, rule=rule, files=FaultyFiles())
        for step, loss in ((10, 1.0), (20, 2.0)):
            store.metrics = lambda step=step, loss=loss: {"validation": {"step": step, "loss": loss}}
            save(store, step)

    def go_on(folder: Path, files: FaultyFiles) -> None:
        store = store_in(folder, rule=rule, files=files, asynchronous=True)
        store.metrics = lambda: {"validation": {"step": 30, "loss": 0.5}}
        with store.settled():
            save(store, 30, detached=True)

    prepare(tmp_path / "count")
    counting = FaultyFiles()
    go_on(tmp_path / "count", counting)
    assert len(counting.done) > 30 and "remove" in counting.done
    for at in range(1, len(counting.done) + 1):
        folder = tmp_path / f"at-{at}"
        prepare(folder)
        try:
            go_on(folder, FaultyFiles(at=at, mode=mode))
        except (RunFailed, Killed) as error:
            assert isinstance(error, Killed) == mode.startswith("kill")

        found = checkpoints.newest(folder / "checkpoints")
        assert found.step in (20, 30), (mode, at)
        assert (found.path / "model/weights.bin").read_bytes() == f"weights of step {found.step}".encode()
        again = store_in(folder, rule=rule, files=FaultyFiles())
        again.clear()
        again.metrics = lambda: {"validation": {"step": 40, "loss": 0.7}}
        if found.step == 20:
            save(again, 30)
        save(again, 40)
        names = {path.name for path in again.root.iterdir()}
        assert {"last.json", "best-loss.json", "step-00000040"} <= names and len(names) <= 4, (
            mode,
            at,
            names,
        )
    with capsys.disabled():
        print(f"\n{mode} at each of {len(counting.done)} operations of a save: no checkpoint lost")

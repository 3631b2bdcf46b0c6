"""Checkpoints: whole or not at all, found by what verifies, pruned last."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from codex_core import checkpoints
from codex_core.checkpoints import CheckpointStore, Origin, Rule
from codex_core.errors import ArtefactError, CodexError, InputError, RunFailed
from codex_core.events import CheckpointPruned, CheckpointRejected, CheckpointSaved, Event, Warned
from codex_core.files import OS_FILES, Files
from codex_core.running import checkpoint_files
from codex_core.running.retention import Candidate, to_prune
from tests.support.faulty_files import MODES, FaultyFiles, Killed
from tests.support.small_training import prepared_at

ORIGIN = Origin(
    run={"id": "abc", "name": "small", "attempt": 1},
    config_hash="sha256:config",
    lock_digest="sha256:lock",
    components={"model": {"id": "small/model", "version": "1.0.0", "options": {"width": 4}}},
    data={"fingerprint": "sha256:data", "manifest_digest": "sha256:manifest"},
    environment={"python": "3"},
)


def store_in(
    folder: Path, *, files: Files = OS_FILES, keep_last: int = 0, emit: Any = None
) -> CheckpointStore:
    """A store over `folder/checkpoints`, continuing from its newest checkpoint if there is one."""
    root = folder / "checkpoints"
    root.mkdir(exist_ok=True)
    return CheckpointStore(
        root=root,
        origin=ORIGIN,
        tokenizer_path=prepared_at(folder / "prepared").tokenizer_path,
        every=10,
        last=100,
        rule=Rule(keep_last=keep_last),
        parent=checkpoints.newest(root) if checkpoints.committed(root) else None,
        emit=emit or checkpoints.ignore,
        files=files,
    )


def save(store: CheckpointStore, step: int) -> None:
    """Save a step whose payload tells which one it is."""
    payload = f"weights of step {step}".encode()
    store.save(
        step=step,
        position=step * 4,
        tokens=step * 32,
        state={"rng": {"dropout": [step, 2**70]}, "derived": None},
        files={
            "model/weights.bin": lambda path: _write(path, payload),
            "trainer/deep/moments.bin": lambda path: _write(path, payload * 2),
            "model/config.json": lambda path: _write(path, b"{}"),
        },
    )


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def test_checkpoint_holds_everything_a_resume_needs(tmp_path: Path) -> None:
    """What was saved comes back: state, counts, payload, origin, parent, and a copy of the tokenizer."""
    store = store_in(tmp_path)
    save(store, 10)
    save(store, 20)

    found = checkpoints.newest(store.root)

    assert (found.step, found.saved_state().position, found.saved_state().tokens) == (20, 80, 640)
    assert found.state == {"rng": {"dropout": [20, 2**70]}, "derived": None}
    assert (found.path / "model/weights.bin").read_bytes() == b"weights of step 20"
    assert (found.path / "tokenizer/parts/merges.txt").read_text() == "a b\n"
    first = checkpoints.verify(store.root / "step-00000010")
    assert found.manifest["parent"] == {"path": "step-00000010", "digest": first.digest}
    assert found.manifest["config_hash"] == "sha256:config" and first.manifest["parent"] is None


def test_inspect_tells_all(tmp_path: Path) -> None:
    """`inspect` prints origin, counts, sizes, digests with their algorithm, state keys and the verdict."""
    store = store_in(tmp_path)
    save(store, 10)

    told = checkpoints.inspect(store.root / "step-00000010")

    wanted = {
        "format",
        "step",
        "position",
        "tokens",
        "run",
        "config_hash",
        "lock_digest",
        "components",
        "data",
    }
    assert wanted | {"environment", "parent", "metrics", "files", "manifest_digest"} <= told.keys()
    assert told["verified"] is True and told["problem"] is None and told["format"] == "codex-checkpoint/1"
    assert told["state_keys"] == ["derived", "rng"] and told["size_bytes"] > 0
    algorithms = {file["path"]: file["digest"].partition(":")[0] for file in told["files"]}
    assert algorithms["model/weights.bin"] == "blake3" and algorithms["state.json"] == "sha256"


def test_newest_is_by_number_not_by_text(tmp_path: Path) -> None:
    """Ten is newer than nine, and more digits are newer than fewer; temporary folders are no checkpoints."""
    store = store_in(tmp_path)
    for step in (9, 10, 123_456_789):
        save(store, step)
    shutil.copytree(store.root / "step-00000010", store.root / "step-999999999.tmp-x")
    (store.root / "notes").mkdir()

    assert list(checkpoints.committed(store.root)) == [123_456_789, 10, 9]
    assert checkpoints.newest(store.root).step == 123_456_789


def test_empty_folder_is_an_input_error(tmp_path: Path) -> None:
    """Nothing to load is a mistake of the caller with its own code, and the reason tells a run from any folder."""
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    reasons = {
        tmp_path: "neither a run nor a checkpoint",
        tmp_path / "none": "no such folder",
        tmp_path / "run" / "checkpoints": "before its first save",
    }
    for folder, reason in reasons.items():
        with pytest.raises(InputError) as raised:
            checkpoints.newest(folder)
        assert raised.value.code == "CKP-001"
        assert reason in str(raised.value.why)


def _all_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_every_flipped_byte_is_found(tmp_path: Path) -> None:
    """Flip any single byte of any file, manifest included: verification names that file."""
    store = store_in(tmp_path)
    save(store, 10)
    folder = store.root / "step-00000010"
    for path in _all_files(folder):
        good = path.read_bytes()
        for at in range(len(good)):
            path.write_bytes(good[:at] + bytes([good[at] ^ 4]) + good[at + 1 :])
            with pytest.raises(ArtefactError) as raised:
                checkpoints.verify(folder)
            assert path.name in raised.value.what or path.name in str(raised.value.where), (path, at)
        path.write_bytes(good)
    assert checkpoints.verify(folder).step == 10


@pytest.mark.parametrize("harm", ["missing", "truncated", "longer", "foreign", "renamed"])
def test_damage_is_named(tmp_path: Path, harm: str) -> None:
    """A missing, cut, longer or foreign file and a renamed folder are refused, with exit code 7 and the file's name."""
    store = store_in(tmp_path)
    save(store, 10)
    folder = store.root / "step-00000010"
    path = folder / "model/weights.bin"
    if harm == "missing":
        path.unlink()
    elif harm == "truncated":
        path.write_bytes(path.read_bytes()[:-3])
    elif harm == "longer":
        path.write_bytes(path.read_bytes() + b"x")
    elif harm == "foreign":
        path = folder / "model/pickle.bin"
        path.write_bytes(b"")
    else:
        folder = folder.rename(store.root / "step-00000011")
        path = folder / "MANIFEST.json"

    with pytest.raises(ArtefactError) as raised:
        checkpoints.find(folder)

    assert path.name in raised.value.what and raised.value.exit_code == 7


def test_other_format_version_is_told_apart_from_damage(tmp_path: Path) -> None:
    """An intact checkpoint of another format version is refused as such, not as corrupt."""
    store = store_in(tmp_path)
    save(store, 10)
    path = store.root / "step-00000010/MANIFEST.json"
    content = json.loads(path.read_bytes()) | {"format": "codex-checkpoint/2"}
    del content["digest"]
    path.write_bytes(checkpoint_files.manifest_bytes(content))

    with pytest.raises(ArtefactError) as raised:
        checkpoints.verify(path.parent)

    assert raised.value.code == "CKP-003"


def test_loader_falls_back_aloud(tmp_path: Path) -> None:
    """A corrupt newest checkpoint is passed over with an event, and the one before it is taken."""
    store = store_in(tmp_path)
    save(store, 10)
    save(store, 20)
    (store.root / "step-00000020/model/weights.bin").write_bytes(b"x")
    events: list[Event] = []

    assert checkpoints.newest(store.root, emit=events.append).step == 10

    (event,) = events
    assert isinstance(event, CheckpointRejected)
    assert event.path == "checkpoints/step-00000020" and "weights.bin" in event.reason


def test_loader_refuses_when_none_verifies(tmp_path: Path) -> None:
    """With every checkpoint corrupt the answer is exit 7 with all of them named, never a silent cold start."""
    store = store_in(tmp_path)
    for step in (10, 20):
        save(store, step)
        (store.root / checkpoint_files.folder_name(step) / "state.json").unlink()

    with pytest.raises(ArtefactError) as raised:
        checkpoints.newest(store.root)

    assert raised.value.code == "CKP-005" and raised.value.exit_code == 7 and len(raised.value.related) == 1


def test_pointer_is_never_trusted(tmp_path: Path) -> None:
    """A pointer to a checkpoint that has gone is told; an unreadable one too; the folders decide."""
    store = store_in(tmp_path)
    save(store, 10)
    save(store, 20)
    shutil.rmtree(store.root / "step-00000020")
    events: list[Event] = []

    assert checkpoints.newest(store.root, emit=events.append).step == 10
    (store.root / "last.json").write_bytes(b"{")
    assert checkpoints.newest(store.root, emit=events.append).step == 10

    assert [type(event) for event in events] == [CheckpointRejected, Warned]


def test_find_accepts_a_run_its_checkpoints_and_one_checkpoint(tmp_path: Path) -> None:
    """The three paths that people have at hand lead to a verified checkpoint."""
    store = store_in(tmp_path)
    save(store, 10)

    for path in (tmp_path, store.root, store.root / "step-00000010"):
        assert checkpoints.find(path).step == 10


@pytest.mark.parametrize(
    "name", ["../up", "/abs", "MANIFEST.json", "state.json", "tokenizer/x", "a/../b", "", "a\\b"]
)
def test_payload_stays_inside_its_folder(tmp_path: Path, name: str) -> None:
    """A trainer cannot write outside the checkpoint or over the shell's own files."""
    store = store_in(tmp_path)
    with pytest.raises(ValueError, match="payload"):
        store.save(step=10, position=0, tokens=0, state={}, files={name: lambda path: _write(path, b"")})

    assert list(store.root.iterdir()) == []


def test_saving_the_same_step_again_does_nothing(tmp_path: Path) -> None:
    """A stop right after a due save does not write the same step twice."""
    events: list[Event] = []
    store = store_in(tmp_path, emit=events.append)
    save(store, 10)
    save(store, 10)

    assert len([event for event in events if isinstance(event, CheckpointSaved)]) == 1


def test_saves_are_due_by_interval_and_at_the_end(tmp_path: Path) -> None:
    """Each `every` steps and at the last one; with `every` 0 at the last one only."""
    store = store_in(tmp_path)
    assert [step for step in range(101) if store.is_due(step) and step] == list(range(10, 101, 10))
    store.every, store.last = 0, 7
    assert [step for step in range(1, 8) if store.is_due(step)] == [7]


def test_what_a_resume_counts_on_is_durable_before_the_commit(tmp_path: Path) -> None:
    """The journal is synced before the checkpoint appears, so that no checkpoint outlives the rows before it."""
    store = store_in(tmp_path)
    seen: list[list[int]] = []
    store.before_save = lambda: seen.append(list(checkpoints.committed(store.root)))
    save(store, 10)
    save(store, 20)

    assert seen == [[], [10]]


# --- crashes -------------------------------------------------------------------------------------------------


def _num_operations(
    folder: Path, prepare: Callable[[Path], None], act: Callable[[CheckpointStore], None]
) -> int:
    prepare(folder)
    files = FaultyFiles()
    act(store_in(folder, files=files, keep_last=1))
    return len(files.done)


def _two_saved(folder: Path) -> None:
    folder.mkdir()
    store = store_in(folder, files=FaultyFiles())
    save(store, 10)
    save(store, 20)


@pytest.mark.parametrize("mode", MODES)
def test_loader_finds_a_verified_checkpoint_wherever_a_save_breaks(tmp_path: Path, mode: str) -> None:
    """Break each file operation of a save in turn (pointer and pruning included): the newest verified checkpoint is
    the one before or the new one, whole; the next save works; nothing unfinished is left after the next start.
    """
    num_operations = _num_operations(tmp_path / "count", _two_saved, lambda store: save(store, 30))
    assert num_operations > 25
    for at in range(1, num_operations + 1):
        folder = tmp_path / f"at-{at}"
        _two_saved(folder)
        files = FaultyFiles(at=at, mode=mode)
        try:
            save(store_in(folder, files=files, keep_last=1), 30)
        except RunFailed as failed:
            assert not mode.startswith("kill")
            assert failed.code == ("RUN-008" if mode == "full" else "CKP-004") and failed.exit_code == 1
        except Killed:
            assert mode.startswith("kill")

        found = checkpoints.newest(folder / "checkpoints")
        assert found.step in (20, 30), (mode, at, files.done)
        weights = (found.path / "model/weights.bin").read_bytes()
        assert weights == f"weights of step {found.step}".encode()

        store = store_in(folder, files=FaultyFiles(), keep_last=1)
        store.clear()
        save(store, 30)
        save(store, 40)
        assert sorted(path.name for path in store.root.iterdir()) == ["last.json", "step-00000040"], (
            mode,
            at,
        )


@pytest.mark.parametrize("mode", MODES)
def test_failed_save_leaves_no_half_folder_behind(tmp_path: Path, mode: str) -> None:
    """An error (not a kill) removes the unfinished folder at once: a full disk gets its space back."""
    if mode.startswith("kill"):
        return
    store = store_in(tmp_path, files=FaultyFiles(at=8, mode=mode))

    with pytest.raises(RunFailed):
        save(store, 10)

    assert list(store.root.iterdir()) == []


# --- retention and clearing ----------------------------------------------------------------------------------


def test_newest_stay_and_the_rest_goes(tmp_path: Path) -> None:
    """After ten saves exactly the last two are there, each removal was told, and the pointer names the newest."""
    events: list[Event] = []
    store = store_in(tmp_path, keep_last=2, emit=events.append)
    for step in range(10, 101, 10):
        save(store, step)

    assert list(checkpoints.committed(store.root)) == [100, 90]
    assert [event.step for event in events if isinstance(event, CheckpointPruned)] == list(range(10, 81, 10))
    assert json.loads((store.root / "last.json").read_bytes())["path"] == "step-00000100"


def test_nothing_is_pruned_before_the_newer_one_verified(tmp_path: Path) -> None:
    """A save whose bytes do not verify raises and removes nothing."""
    store = store_in(tmp_path, keep_last=1)
    save(store, 10)

    class Corrupting(Files):
        """Spoils the payload between digest and rename, as failing hardware does."""

        def rename(self, source: Path, target: Path) -> None:
            if source.is_dir():
                (source / "model/weights.bin").write_bytes(b"weights of step 99")
            super().rename(source, target)

    store.files = Corrupting()
    with pytest.raises(ArtefactError):
        save(store, 20)

    assert checkpoints.verify(store.root / "step-00000010").step == 10
    assert json.loads((store.root / "last.json").read_bytes())["step"] == 10


def test_links_out_of_the_run_are_not_followed(tmp_path: Path) -> None:
    """A checkpoint that is a link to another place is neither removed nor emptied."""
    events: list[Event] = []
    store = store_in(tmp_path, keep_last=1, emit=events.append)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious.txt").write_text("keep")
    (store.root / "step-00000005").symlink_to(outside)
    save(store, 10)

    assert (outside / "precious.txt").read_text() == "keep" and (store.root / "step-00000005").is_symlink()
    assert any("outside" in event.text for event in events if isinstance(event, Warned))


def test_later_steps_are_moved_aside_when_an_older_one_is_resumed(tmp_path: Path) -> None:
    """After a resume from step 10 the checkpoint of step 20 is no longer the newest; it goes when 20 is saved anew."""
    store = store_in(tmp_path)
    save(store, 10)
    save(store, 20)
    events: list[Event] = []
    again = store_in(tmp_path, emit=events.append)
    again.parent = checkpoints.verify(store.root / "step-00000010")

    again.clear()

    assert checkpoints.newest(store.root).step == 10
    assert len(list(store.root.glob("step-00000020.aside-*"))) == 1
    assert any("aside" in event.text for event in events if isinstance(event, Warned))
    save(again, 20)
    assert list(store.root.glob("*.aside-*")) == [] and list(checkpoints.committed(store.root)) == [20, 10]


def test_unfinished_saves_are_removed_at_the_next_start(tmp_path: Path) -> None:
    """What a kill left is cleared by the next attempt, and told."""
    store = store_in(tmp_path, files=FaultyFiles(at=9, mode="kill"))
    with pytest.raises(Killed):
        save(store, 10)
    assert len(list(store.root.iterdir())) == 1
    events: list[Event] = []

    store_in(tmp_path, emit=events.append).clear()

    assert list(store.root.iterdir()) == [] and "did not finish" in str(events[0].fields()["text"])


@pytest.mark.parametrize(
    ("steps", "keep_last", "pinned", "going"),
    [
        ([], 2, (), []),
        ([10], 1, (), []),
        ([9, 10, 8], 2, (), [8]),
        ([1, 2, 3, 4], 0, (), []),
        ([1, 2, 3, 4], 1, (2,), [1, 3]),
    ],
)
def test_retention_rule(steps: list[int], keep_last: int, pinned: tuple[int, ...], going: list[int]) -> None:
    """The newest `keep_last` stay, zero keeps all, pinned steps stay."""
    present = [Candidate(step=step, is_pinned=step in pinned) for step in steps]

    assert to_prune(present, Rule(keep_last=keep_last)) == going


def test_errors_of_a_save_are_answers_not_bugs(tmp_path: Path) -> None:
    """A full disk on the way is exit 1 with a fix, and the previous checkpoint loads."""
    save(store_in(tmp_path), 10)
    store = store_in(tmp_path, files=FaultyFiles(at=5, mode="full"))

    with pytest.raises(CodexError) as raised:
        save(store, 20)

    assert raised.value.exit_code == 1 and raised.value.fix and "free" in raised.value.fix
    assert checkpoints.newest(store.root).step == 10

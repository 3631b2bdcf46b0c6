"""Whatever changes in a run directory is found, named, and told apart from what no digest covers."""

from __future__ import annotations

import json
import shutil
from random import Random

import pytest

from codex_core.canonical import digest_of, readable_json
from codex_core.errors import ArtefactError, CodexError
from codex_core.running import binding, verifying
from codex_core.runs import RunDir
from tests.support.small_runs import fail_at, go_on, start, the_run
from tests.support.small_training import SmallWork


def no_data(lock_data):
    """The prepared set is not looked at."""
    return None


def look(run):
    return verifying.verify(run, check_data=no_data)


@pytest.fixture(scope="module")
def broken_once(tmp_path_factory):
    """A finished run of two attempts, with a plugin's file beside its own."""
    work = SmallWork(tmp_path_factory.mktemp("verify"))
    fail_at(work, 5, ValueError("broken"))
    with pytest.raises(ValueError, match="broken"):
        start(work)
    run = the_run(work)
    (run.path / "log.txt").write_text("what a plugin wrote\n")
    go_on(work, run, asked=work.plan(steps=8))
    return run


@pytest.fixture
def run(broken_once, tmp_path):
    """A copy of it at another place."""
    shutil.copytree(broken_once.path, tmp_path / "copy")
    return RunDir(tmp_path / "copy")


def files_of(run):
    """Every file of a run that holds a byte."""
    return sorted(path for path in run.path.rglob("*") if path.is_file() and path.stat().st_size)


def is_found(run, path, place, bit):
    """Whether one flipped bit is found; the file is put back."""
    data = path.read_bytes()
    path.write_bytes(data[:place] + bytes([data[place] ^ (1 << bit)]) + data[place + 1 :])
    try:
        return bool(look(run).findings)
    except ArtefactError:
        return True
    finally:
        path.write_bytes(data)


def test_moved_run_verifies_with_the_same_root(broken_once, run):
    """A copy at another place has nothing to find, nothing uncovered but its data, and the same root digest."""
    account = look(run)

    assert account.findings == () and account.unaccounted == ()
    assert [sentence for sentence in account.not_covered if not sentence.startswith("data.json")] == []
    assert (account.attempts, account.steps) == (2, 8)
    assert account.root == look(broken_once).root


def test_one_flipped_bit_in_any_file_is_found(run):
    """In every file of the run, at its first, its last and some other bytes."""
    chance = Random(6)
    missed = []
    for path in files_of(run):
        size = path.stat().st_size
        for place in {0, size - 1, *(chance.randrange(size) for _ in range(3))}:
            if not is_found(run, path, place, chance.randrange(8)):
                missed.append((path.name, place))

    assert missed == []
    assert len(files_of(run)) > 20


@pytest.mark.proof
def test_flipped_bit_at_every_byte_is_found(run):
    """In files of up to a thousand bytes at every byte, in longer ones at every eleventh."""
    chance = Random(7)
    counted, missed = 0, []
    for path in files_of(run):
        size = path.stat().st_size
        for place in range(0, size, 1 if size <= 1000 else 11):
            counted += 1
            if not is_found(run, path, place, chance.randrange(8)):
                missed.append((path.name, place))

    print(f"{counted} flips in {len(files_of(run))} files, {len(missed)} missed")
    assert missed == []


@pytest.mark.parametrize(
    "name", ["config.yaml", "lock.a1.json", "metrics.csv", "log.txt", "checkpoints/last.json"]
)
def test_missing_or_replaced_file_is_named(run, name):
    """The finding is the file itself."""
    (run.path / name).write_text("{}\n")
    (first, *_) = look(run).findings

    assert first.artefact == name


def test_missing_files_are_named(run):
    """A file that is gone is a finding like one that differs."""
    for name in ("data.json", "metrics.ndjson"):
        (run.path / name).unlink()

    assert {"data.json", "metrics.ndjson"} <= {finding.artefact for finding in look(run).findings}


def test_changed_entry_of_a_lock_is_named(run):
    """The journal holds a digest per entry of each attempt's lock."""
    lock = json.loads((run.path / "lock.json").read_text())
    lock["threads"] = 64
    (run.path / "lock.json").write_text(readable_json(lock))

    (first, *_) = look(run).findings

    assert first.artefact == "lock.json" and first.problem.startswith("changed: threads; ")


def test_run_json_without_its_digest_is_found(run):
    """A digest that went is not taken for one that an older version never wrote."""
    text = (run.path / "run.json").read_text()
    (run.path / "run.json").write_text(text.replace('"digest": "sha256', '"dagest": "sha256'))

    first, *_ = look(run).findings

    assert (first.artefact, first.problem) == ("run.json", "its own digest is missing")


def test_cut_journal_is_found(run):
    """A journal whose last lines were taken away is whole in itself; `run.json` knows how it ended."""
    path = max((run.path / "journal").iterdir())
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))

    assert any("it ends with record" in finding.problem for finding in look(run).findings)


def test_view_with_an_invented_number_is_found(run):
    """Metric rows that the journal does not give are named with their line."""
    rows = (run.path / "metrics.csv").read_text().splitlines(keepends=True)
    (run.path / "metrics.csv").write_text(
        "".join([*rows[:2], rows[2].replace(",train,", ",train,9"), *rows[3:]])
    )

    (first,) = look(run).findings

    assert (first.artefact, first.problem) == ("metrics.csv", "line 3 does not follow from the journal")


def test_checkpoint_of_another_run_is_found(run, tmp_path):
    """A checkpoint that verifies in itself and belongs to another run is named."""
    other = SmallWork(tmp_path / "other")
    other.folder.mkdir()
    start(other, steps=8)
    shutil.rmtree(run.checkpoints / "step-00000008")
    shutil.copytree(the_run(other).checkpoints / "step-00000008", run.checkpoints / "step-00000008")

    problems = {finding.artefact: finding.problem for finding in reversed(look(run).findings)}

    assert problems["checkpoints/step-00000008/MANIFEST.json"].startswith("it is of the run ")


def test_files_of_nobody_are_listed(run):
    """What the run did not write is listed and is no part of the root digest."""
    before = look(run).root
    (run.path / "notes.txt").write_text("mine")
    (run.path / "report.html").write_text("made again at any time")

    account = look(run)

    assert account.unaccounted == ("notes.txt", "report.html")
    assert account.findings == () and account.root == before


def test_pointers_may_be_moved_by_who_says_so(run):
    """A command that moves pointers seals them anew; what else changed since is still found."""
    (run.checkpoints / "best-nll.json").write_text("{}")
    assert [finding.artefact for finding in look(run).findings] == ["checkpoints/best-nll.json"]
    (run.path / "log.txt").write_text("changed")

    binding.seal_pointers(run)

    assert [finding.artefact for finding in look(run).findings] == ["log.txt"]


def test_killed_run_tells_what_nothing_vouches_for(tmp_path):
    """Of a run that left no last word, the end of its journal is told as not covered; the rest is covered."""
    work = SmallWork(tmp_path)
    start(work)
    run = the_run(work)
    content = run.record() | {
        "status": "running",
        "journal": None,
        "files": {},
        "ended": None,
        "exit_code": None,
    }
    del content["digest"]
    (run.path / "run.json").write_text(readable_json({**content, "digest": digest_of(content)}))

    account = look(run)

    assert account.findings == ()
    assert any("nothing follows its last line" in sentence for sentence in account.not_covered)


def test_damaged_data_is_a_finding(run):
    """What the check of the prepared set raises is found; what is not at hand is told."""

    def raises(lock_data):
        raise ArtefactError(
            code="DAT-012", what="prepared data is damaged", where="train.tok", why="its bytes differ"
        )

    found = verifying.verify(run, check_data=raises)
    absent = verifying.verify(run, check_data=lambda lock_data: "not looked at")

    assert found.findings[0].artefact == "prepared data" and "train.tok" in found.findings[0].problem
    assert "prepared data: not looked at" in absent.not_covered


def test_run_without_a_lock_of_this_version_is_refused(run):
    """A lock of another format version is refused with the version that reads it."""
    lock = json.loads((run.path / "lock.json").read_text())
    (run.path / "lock.json").write_text(readable_json({**lock, "format": "codex-lock/9"}))

    with pytest.raises(CodexError) as raised:
        run.lock()

    assert raised.value.code == "RUN-020" and int(raised.value.exit_code) == 7
    assert "codex-core==1.0.0" in raised.value.fix

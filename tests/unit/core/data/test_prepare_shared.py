"""One prepared set, whoever prepares it: several processes, several machines, with kills in between."""

from __future__ import annotations

import itertools
import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from codex_core.data import encoding, jobs, text_parts
from codex_core.data.chunks import prepare_chunk, seal
from codex_core.data.intake import Intake
from codex_core.data.prepare import texts_plan
from codex_core.data.splits import SPLITS
from codex_core.data.text_parts import lots_of
from codex_core.errors import ArtefactError, InputError, UsageError
from tests.support.data_plans import make_places, make_plan
from tests.support.preparing import REGISTRY, files_below, run

ROOT = Path(__file__).parents[4]

NUM_ROWS = 300


@pytest.fixture
def small_lots(monkeypatch):
    """Lots and stretches of about 1,500 bytes, so that small corpora have many."""
    for module, name in (
        (text_parts, "LEAST_LOT_BYTES"),
        (text_parts, "MOST_LOT_BYTES"),
        (encoding, "LEAST_STRETCH_BYTES"),
        (encoding, "MOST_STRETCH_BYTES"),
    ):
        monkeypatch.setattr(module, name, 1500)


@pytest.fixture
def source(tmp_path, small_lots):
    """Rows with repeats near and far, secrets, texts that are equal once redacted, blocked and empty ones."""
    chance = random.Random(3)
    path = tmp_path / "rows.jsonl"
    texts = [
        chance.choice(
            [
                f"text {chance.randrange(120)} äöü",
                f"the word is hunter2 {chance.randrange(9)}",
                f"the word is [secret] {chance.randrange(9)}",
                f"FORBIDDEN {chance.randrange(4)}",
                " \n",
            ]
        )
        for _ in range(NUM_ROWS)
    ]
    rows = [{"text": text, "page": f"page {chance.randrange(40)}"} for text in texts]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return ("jsonl", {"path": str(path), "group": "page"})


def plans(source):
    """The plans that differ most in what lots cannot know alone."""
    return {
        "exact": make_plan(source, safety={}, split=[0.5, 0.25, 0.25]),
        "none": make_plan(source, dedup="none", split=[0.5, 0.25, 0.25]),
        "index": make_plan(source, dedup="none", split_by="index", split=[0.5, 0.25, 0.25]),
        "learned": make_plan(source, tokenizer=("faulty", {}), split=[0.5, 0.25, 0.25]),
    }


@pytest.mark.parametrize("name", ["exact", "none", "index"])
def test_lots_do_not_show(tmp_path, source, name):
    """Rows judged one by one in order, and rows read in lots: the same account, splits, documents and digests."""
    plan = plans(source)[name]
    wanted = texts_plan(plan, registry=REGISTRY)
    assert len(lots_of([one.dataset for one in wanted.sources])) > 5
    intake = Intake(wanted)
    expected = {split: [] for split in SPLITS}
    for _, split, record in intake.admitted(lambda event: None):
        expected[split].append((record.id, record.text))
    prepared = run(tmp_path, plan)

    assert {split: [(text.id, text.text) for text in prepared.texts(split)] for split in SPLITS} == expected
    assert prepared.manifest["rows"] == intake.account.rows()
    assert prepared.manifest["safety"] == intake.account.safety(wanted.policy)
    assert all(expected.values())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["exact", "none", "index", "learned"])
def test_any_number_of_workers_gives_the_same_bytes(tmp_path, source, name):
    """One process and three give the same files, and leave nothing of the work behind."""
    plan = plans(source)[name]
    run(tmp_path / "one", plan)
    run(tmp_path / "three", plan, workers=3)

    assert files_below(tmp_path / "one" / "store") == files_below(tmp_path / "three" / "store")
    assert not (tmp_path / "three" / "store" / "jobs").exists()


@pytest.mark.slow
def test_the_size_of_lots_does_not_show(tmp_path, source, monkeypatch):
    """Cut finely or not at all, the rows give the same files."""
    plan = plans(source)["exact"]
    run(tmp_path / "fine", plan)
    monkeypatch.setattr(text_parts, "LEAST_LOT_BYTES", 1 << 20)
    monkeypatch.setattr(text_parts, "MOST_LOT_BYTES", 1 << 20)
    run(tmp_path / "whole", plan)

    assert files_below(tmp_path / "fine" / "store") == files_below(tmp_path / "whole" / "store")


def chunk(folder, plan, number, of, **options):
    """One chunk, in the store of `folder`."""
    return prepare_chunk(plan, number, of, registry=REGISTRY, places=make_places(folder), **options)


def sealed(folder, plan, **options):
    """The chunks in the store of `folder`, sealed."""
    return seal(plan, registry=REGISTRY, places=make_places(folder), **options)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["exact", "none", "learned"])
def test_any_number_of_machines_gives_the_same_bytes(tmp_path, source, name):
    """Chunks made in any order, on machines with stores of their own, seal to what one machine prepares."""
    plan = plans(source)[name]
    whole = run(tmp_path / "whole", plan)
    for number in (3, 1, 2):
        done = chunk(tmp_path / f"machine {number}", plan, number, 3)
        assert done.missing > 0 and len(done.lots) > 1
        shutil.copytree(
            tmp_path / f"machine {number}" / "store", tmp_path / "all" / "store", dirs_exist_ok=True
        )
    together = sealed(tmp_path / "all", plan)

    assert together.manifest_digest == whole.manifest_digest
    assert files_below(tmp_path / "all" / "store") == files_below(tmp_path / "whole" / "store")


@pytest.mark.slow
def test_missing_chunks_are_named(tmp_path, source):
    """Sealing before all chunks have ended is an input error that tells which parts are missing."""
    plan = plans(source)["exact"]
    done = chunk(tmp_path, plan, 2, 2)

    with pytest.raises(InputError, match="parts are not there yet") as caught:
        sealed(tmp_path, plan)

    assert caught.value.code == "DAT-031"
    assert "missing: 1, 3" in caught.value.why
    assert done.path.exists()
    assert chunk(tmp_path, plan, 1, 2).missing == 0


@pytest.mark.parametrize("wrong", [(0, 3), (4, 3), (1, 0)])
def test_a_chunk_that_does_not_exist_is_refused(tmp_path, source, wrong):
    """Chunks count from 1 to their number."""
    with pytest.raises(UsageError) as caught:
        chunk(tmp_path, plans(source)["exact"], *wrong)

    assert caught.value.code == "DAT-034"


@pytest.mark.slow
def test_a_damaged_part_is_found(tmp_path, source):
    """A byte that changed in a part, size and time kept, is refused when sealing, and made again by its chunk."""
    plan = plans(source)["exact"]
    done = chunk(tmp_path, plan, 1, 1)
    path = done.path / "texts" / "00004" / "train.text"
    before, data = path.stat(), bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(ArtefactError) as caught:
        sealed(tmp_path, plan)
    assert int(caught.value.exit_code) == 7
    chunk(tmp_path, plan, 1, 1)

    assert sealed(tmp_path, plan).manifest_digest == run(tmp_path / "whole", plan).manifest_digest


KILLED = """
import os, sys
from pathlib import Path
from codex_core.data import encoding, text_parts
from codex_core.data.chunks import prepare_chunk
from codex_core.data.prepare import prepare
from codex_core.files import Files
from tests.support.data_plans import RoomRegistry, make_places, make_plan

class Killed(Files):
    def __init__(self, room): self.room = room
    def append(self, descriptor, data):
        super().append(descriptor, data)
        self.room -= 1
        if self.room == 0: os.kill(os.getpid(), 9)

text_parts.LEAST_LOT_BYTES = text_parts.MOST_LOT_BYTES = 1500
encoding.LEAST_STRETCH_BYTES = encoding.MOST_STRETCH_BYTES = 1500
source = ("jsonl", {"path": sys.argv[1], "group": "page"})
plan = make_plan(source, safety={}, split=[0.5, 0.25, 0.25])
around = dict(registry=RoomRegistry(), places=make_places(Path(sys.argv[2])), files=Killed(int(sys.argv[3])))
if sys.argv[4] == "chunk":
    print(prepare_chunk(plan, 1, 1, **around).missing)
else:
    print(prepare(plan, **around).manifest_digest)
"""


def killed(source, folder, room, what):
    """A process that is killed at its `room`-th write."""
    command = [sys.executable, "-c", KILLED, source[1]["path"], str(folder), str(room), what]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    return done.returncode, done.stdout.strip()


@pytest.mark.slow
@pytest.mark.parametrize("room", [1, 90, 200, 330])
def test_a_preparation_that_was_killed_anywhere_is_continued(tmp_path, source, room):
    """kill -9 while reading, encoding or putting together: the next run gives the same bytes and clears up."""
    plan = plans(source)["exact"]
    whole = run(tmp_path / "whole", plan)

    assert killed(source, tmp_path / "cut", room, "prepare")[0] == -9
    assert run(tmp_path / "cut", plan).manifest_digest == whole.manifest_digest
    assert files_below(tmp_path / "cut" / "store") == files_below(tmp_path / "whole" / "store")


def finished(store):
    """Manifests of finished parts with the file that each of them is."""
    return {
        path.relative_to(store): (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in store.glob("jobs/*/*/*/manifest.json")
    }


@pytest.mark.slow
def test_finished_parts_are_not_done_again(tmp_path, source):
    """A chunk that was killed twice does only what is missing; its parts keep their files until they are sealed."""
    plan = plans(source)["exact"]
    before = {}
    for room in (80, 160):
        assert killed(source, tmp_path, room, "chunk")[0] == -9
        now = finished(tmp_path / "store")
        assert before.items() < now.items()
        before = now
    chunk(tmp_path, plan, 1, 1)

    assert before.items() < finished(tmp_path / "store").items()
    assert sealed(tmp_path, plan).manifest_digest == run(tmp_path / "whole", plan).manifest_digest


@pytest.mark.slow
def test_two_processes_share_a_preparation(tmp_path, source):
    """Two processes that prepare many lots at a time, one job folder between them, give one store and one digest."""
    command = [sys.executable, "-c", KILLED, source[1]["path"], str(tmp_path / "shared"), "-1", "prepare"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(2)]
    printed = {process.communicate()[0].strip() for process in both}

    assert [process.returncode for process in both] == [0, 0]
    assert printed == {run(tmp_path / "whole", plans(source)["exact"]).manifest_digest}
    assert files_below(tmp_path / "shared" / "store") == files_below(tmp_path / "whole" / "store")


@pytest.mark.slow
def test_a_wrong_row_is_told_alike_by_all(tmp_path, source):
    """The first wrong row in reading order is the error, for any number of workers, and nothing stays."""
    path = Path(source[1]["path"])
    lines = path.read_text().splitlines(keepends=True)
    for number in (250, 120, 280):
        lines[number - 1] = '{"text": 3, "page": "x"}\n'
    path.write_text("".join(lines))
    told = []
    for workers in (1, 3):
        with pytest.raises(InputError) as caught:
            run(tmp_path, plans(source)["exact"], workers=workers)
        told.append(str(caught.value))

    assert told[0] == told[1]
    assert "rows.jsonl:120" in told[0]
    assert files_below(tmp_path / "store") == {}


@pytest.mark.slow
def test_a_shared_job_outlives_a_plain_failure(tmp_path, source, monkeypatch):
    """What other machines have made is not swept when preparing alone fails."""
    plan = plans(source)["exact"]
    done = chunk(tmp_path, plan, 1, 2)
    monkeypatch.setattr("codex_core.data.reading.Reading.select", _fail)
    with pytest.raises(InputError, match="no luck"):
        run(tmp_path, plan)

    assert jobs.is_shared(done.path)
    assert (done.path / "texts" / "00000" / "manifest.json").exists()


def _fail(self, *, files):
    raise InputError(code="DAT-002", what="no luck")


def test_several_shards_hold_what_one_holds(tmp_path, source):
    """Ids cut into shards at borders of documents: the same texts, rows and counts, whatever the size of a shard."""
    one = run(tmp_path, make_plan(source, split=[0.98, 0.01, 0.01], dedup="none"))
    many = run(tmp_path, make_plan(source, split=[0.98, 0.01, 0.01], dedup="none", shard_bytes=1024))
    shards = [shard for shard in many.manifest["shards"] if shard["split"] == "train"]

    assert len(shards) > 2
    assert [shard["name"] for shard in shards[:2]] == ["train", "train-00001"]
    for before, shard in itertools.pairwise(shards):
        assert shard["first_document"] == before["first_document"] + before["documents"]
        assert shard["first_token"] == before["first_token"] + before["tokens"]
        assert many.manifest["files"][f"{shard['name']}.tok"]["bytes"] <= 1024
    assert list(many.texts("train")) == list(one.texts("train"))
    left, right = (prepared.packed("train", seed=5) for prepared in (one, many))
    for name in ("inputs", "targets", "loss_mask", "positions", "document_ids"):
        expected = getattr(left.rows(0, 9), name)
        assert (getattr(right.rows(0, 9), name) == expected).all()


def test_documents_know_their_source(tmp_path, source):
    """Each stored document names its dataset, file and line."""
    prepared = run(tmp_path, plans(source)["exact"])
    lines = Path(source[1]["path"]).read_text().splitlines()
    documents = prepared.documents("train")

    for number, record in enumerate(documents):
        dataset, file, row = documents.source_of(number)
        assert (dataset, file) == (0, "rows.jsonl")
        assert json.loads(lines[row - 1])["text"].replace("hunter2", "[secret]") == record.text

"""Room on a disk for the checkpoints of a run."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from codex_core import journal
from codex_core.running.room import notice_room
from tests.support.small_runs import start, the_run
from tests.support.small_training import SmallWork, settle_small


def _settled(disk_bytes: int | None):
    def settle(*args, **named):
        return attrs.evolve(settle_small(*args, **named), disk_bytes=disk_bytes)

    return settle


@pytest.mark.parametrize(("disk_bytes", "codes"), [(None, []), (1000, []), (1 << 60, ["RUN-031"])])
def test_a_run_tells_when_its_checkpoints_may_not_fit(tmp_path: Path, disk_bytes, codes):
    """A prediction beyond the free space is a warning in the journal; the run is trained to its end all the same."""
    work = SmallWork(tmp_path)
    assert start(work, settle=_settled(disk_bytes)).status == "finished"
    told = [event.code for event in work.events if event.kind == "warning"]
    assert told == codes
    records = journal.verify(the_run(work).journal).records
    assert [record.fields["code"] for record in records if record.kind == "warning"] == codes


def test_the_warning_names_both_sizes_and_the_place(tmp_path: Path):
    """What is needed and what is free stand side by side; exactly enough is enough."""
    work = SmallWork(tmp_path)
    lock = attrs.evolve(start(work).run.lock(), disk_bytes=5000)
    assert not notice_room(tmp_path, lock, free=lambda folder: 5000)
    (told,) = notice_room(tmp_path, lock, free=lambda folder: 4999)
    assert "5,000 bytes and 4,999 are free" in told.text and str(tmp_path) in told.text

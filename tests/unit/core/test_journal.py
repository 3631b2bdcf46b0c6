"""The journal: what was written is read back, and what was changed is found."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from codex_core import journal
from codex_core.errors import ArtefactError
from tests.support.faulty_files import FaultyFiles


def fixed_now() -> datetime:
    """A moment that does not move."""
    return datetime(2026, 1, 2, tzinfo=UTC)


def written(folder: Path, *attempts: int) -> Path:
    """A journal whose attempts have so many records each."""
    for count in attempts:
        current = journal.Journal.start(folder, after=journal.read(folder), now=fixed_now)
        for number in range(count):
            current.append(("step", {"step": number}))
        current.close()
    return folder


def test_records_come_back_in_order_when_attempts_follow_each_other(tmp_path: Path) -> None:
    """Each attempt has a file of its own; numbers and digests run on through all of them."""
    folder = written(tmp_path / "journal", 2, 3)

    history = journal.verify(folder)

    assert [path.name for _, _, path in journal.segments(folder)] == [
        "r0-a1-000001.ndjson",
        "r0-a2-000001.ndjson",
    ]
    assert [record.sequence for record in history.records] == [1, 2, 3, 4, 5]
    assert [record.attempt for record in history.records] == [1, 1, 2, 2, 2]
    assert history.problems == () and history.attempt == 2


def test_batch_is_one_append(tmp_path: Path) -> None:
    """Several records given together reach the disk in one operation."""
    files = FaultyFiles()
    current = journal.Journal.start(tmp_path, now=fixed_now, files=files)

    current.append(("a", {}), ("b", {}), ("c", {}))

    assert files.done.count("append") == 1
    assert [record.kind for record in journal.read(tmp_path).records] == ["a", "b", "c"]


def test_torn_last_line_is_passed_over_and_told(tmp_path: Path) -> None:
    """A kill leaves half a line: earlier records stay, and the next attempt links to the last whole one."""
    folder = written(tmp_path / "journal", 3)
    path = folder / "r0-a1-000001.ndjson"
    path.write_bytes(path.read_bytes()[:-5])

    history = journal.verify(folder)
    written(folder, 1)

    assert len(history.records) == 2 and "torn" in history.problems[0]
    assert [record.sequence for record in journal.verify(folder).records] == [1, 2, 3]


@pytest.mark.parametrize("at", range(0, 900, 37))
def test_flipped_byte_is_found(tmp_path: Path, at: int) -> None:
    """No byte of a line that was followed by another one can change unseen."""
    folder = written(tmp_path / "journal", 4, 2)
    path = folder / "r0-a1-000001.ndjson"
    data = bytearray(path.read_bytes())
    at = at % (len(data) - 1)
    data[at] ^= 1
    path.write_bytes(bytes(data))

    with pytest.raises(ArtefactError) as raised:
        journal.verify(folder)

    assert raised.value.code == "JRN-001" and path.name in str(raised.value.where)


def test_missing_segment_is_found(tmp_path: Path) -> None:
    """Taking away a whole attempt breaks the chain of the next one."""
    folder = written(tmp_path / "journal", 2, 2)
    (folder / "r0-a1-000001.ndjson").unlink()

    with pytest.raises(ArtefactError):
        journal.verify(folder)


def test_values_are_kept_to_the_last_bit(tmp_path: Path) -> None:
    """Floats read back equal; NumPy scalars are numbers; what JSON cannot say is spelt out."""
    loss = 0.1 + 0.2
    values = {"loss": loss, "single": np.float32(0.1), "n": np.int64(7), "nan": math.nan, "inf": -math.inf}
    current = journal.Journal.start(tmp_path, now=fixed_now)
    current.append(("step", values))

    (record,) = journal.read(tmp_path).records

    assert record.fields["loss"] == loss
    assert record.fields["single"] == float(np.float32(0.1)) and record.fields["n"] == 7
    assert record.fields["nan"] == "NaN" and record.fields["inf"] == "-Infinity"


@pytest.mark.parametrize("mode", ["fail", "short", "full"])
def test_failed_append_leaves_nothing_behind(tmp_path: Path, mode: str) -> None:
    """After a write that failed half way the journal goes on as if it had never been tried."""
    files = FaultyFiles(at=3, mode=mode)  # folder sync, first append, second append
    current = journal.Journal.start(tmp_path, now=fixed_now, files=files)
    current.append(("first", {}))
    with pytest.raises(OSError):
        current.append(("second", {"text": "x" * 100}))

    current.append(("third", {}))

    history = journal.verify(tmp_path)
    assert [record.kind for record in history.records] == ["first", "third"] and history.problems == ()


def test_long_journal_continues_in_another_segment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A segment that is full is closed; readers see one sequence."""
    monkeypatch.setattr(journal, "SEGMENT_BYTES", 600)
    folder = written(tmp_path / "journal", 9)

    assert len(journal.segments(folder)) > 1
    assert [record.sequence for record in journal.verify(folder).records] == list(range(1, 10))


def test_lone_surrogates_do_not_stop_a_record(tmp_path: Path) -> None:
    """Text that UTF-8 cannot hold is escaped, and the line stays valid JSON."""
    current = journal.Journal.start(tmp_path, now=fixed_now)
    current.append(("warning", {"text": "a\udc80b"}))

    line = (tmp_path / "r0-a1-000001.ndjson").read_bytes()

    assert json.loads(line)["fields"]["text"] == "a\udc80b"


def test_absent_folder_is_an_empty_history(tmp_path: Path) -> None:
    """Reading where no attempt has begun gives no records and no problem."""
    assert journal.read(tmp_path / "none") == journal.History()

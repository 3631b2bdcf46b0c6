"""Preparing on a disk that fills up, under Ctrl-C, under kill -9, and beside another process."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from codex_core.data.prepare import prepare
from codex_core.errors import InputError
from codex_core.events import ProgressMade
from codex_core.files import Files
from tests.support.data_plans import make_places, make_plan
from tests.support.preparing import FOUND, REGISTRY, run, write_rows

ROOT = Path(__file__).parents[4]


@pytest.fixture
def rows(tmp_path):
    """Sixty rows of JSON Lines, some twice, one blank."""
    return write_rows(tmp_path)


class FullAfter(Files):
    """A disk with room for a number of operations."""

    def __init__(self, room):
        self.room = room

    def _use(self):
        if self.room == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.room -= 1

    def write(self, path, data):
        """Write, while there is room."""
        self._use()
        super().write(path, data)

    def append(self, descriptor, data):
        """Append, while there is room; the last piece is half-written."""
        if self.room == 0:
            super().append(descriptor, data[: len(data) // 2])
        self._use()
        super().append(descriptor, data)

    def produce(self, path, writer):
        """Let the writer write, while there is room."""
        self._use()
        super().produce(path, writer)

    def rename(self, source, target):
        """Rename, while there is room."""
        self._use()
        super().rename(source, target)


def test_a_disk_that_fills_up_anywhere_leaves_nothing_half_written(tmp_path, rows):
    """Whichever write hits the full disk: exit code 4, only whole folders, and the next run gives the same bytes."""
    plan = make_plan(("jsonl", {"path": str(rows)}))
    expected = run(tmp_path / "whole", plan).manifest_digest
    for room in range(0, 1000, 5):
        try:
            prepared = run(tmp_path / "full", plan, files=FullAfter(room))
        except InputError as error:
            assert (error.code, int(error.exit_code)) == ("DAT-011", 4)
            assert not list((tmp_path / "full" / "store").glob("*/.*.tmp-*"))
            folders = list((tmp_path / "full" / "store").glob("*/[!.]*"))
            assert all((folder / "manifest.json").exists() for folder in folders)
            continue
        break

    assert room > 50  # every stage has many writes, and what was finished before stays
    assert prepared.manifest_digest == expected


def test_ctrl_c_leaves_nothing_half_written(tmp_path, rows):
    """An interruption while reading, tokenising or packing leaves whole folders only, and the next run finishes."""
    plan = make_plan(("jsonl", {"path": str(rows)}))
    expected = run(tmp_path / "whole", plan).manifest_digest
    for phase in ("read", "tokenize", "pack"):

        def interrupt(event, phase=phase):
            if isinstance(event, ProgressMade) and event.phase == phase and event.detail != FOUND:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            prepare(plan, registry=REGISTRY, places=make_places(tmp_path / "cut"), on_event=interrupt)
        assert not list((tmp_path / "cut" / "store").glob("*/.*.tmp-*"))

    assert run(tmp_path / "cut", plan).manifest_digest == expected


KILLED = """
import os, sys
from pathlib import Path
from codex_core.data.prepare import prepare
from codex_core.files import Files
from tests.support.data_plans import RoomRegistry, make_places, make_plan

class Killed(Files):
    def __init__(self, room): self.room = room
    def append(self, descriptor, data):
        super().append(descriptor, data)
        self.room -= 1
        if self.room == 0: os.kill(os.getpid(), 9)

plan = make_plan(("jsonl", {"path": sys.argv[1]}))
prepared = prepare(plan, registry=RoomRegistry(), places=make_places(Path(sys.argv[2])), files=Killed(int(sys.argv[3])))
print(prepared.manifest_digest)
"""


def test_a_killed_preparation_is_done_again(tmp_path, rows):
    """kill -9 while texts or tokens are written: the next run gives the same digest and clears up."""
    expected = run(tmp_path / "whole", make_plan(("jsonl", {"path": str(rows)}))).manifest_digest
    printed = []
    for room in (5, 25, 10_000):
        command = [sys.executable, "-c", KILLED, str(rows), str(tmp_path / "cut"), str(room)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
        printed.append((done.returncode, done.stdout.strip()))

    assert printed == [(-9, ""), (-9, ""), (0, expected)]
    assert not list((tmp_path / "cut" / "store").glob("*/.*.tmp-*"))


def test_two_processes_prepare_one_set(tmp_path, rows):
    """Two processes that start together give one store and one digest."""
    command = [sys.executable, "-c", KILLED, str(rows), str(tmp_path / "shared"), "10000"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(2)]
    printed = [process.communicate()[0].strip() for process in both]

    assert [process.returncode for process in both] == [0, 0]
    assert len(set(printed)) == 1
    assert len(list((tmp_path / "shared" / "store").glob("*/[!.]*"))) == 3

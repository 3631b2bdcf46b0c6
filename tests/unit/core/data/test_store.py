"""Folders that appear whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading

import pytest

from codex_core.data.store import MANIFEST, folder_of, obtain, read_manifest, verify
from codex_core.errors import ArtefactError, InputError
from codex_core.files import Files

FORMAT = "test/1"
FINGERPRINT = "sha256:" + "ab" * 32


def fill(folder):
    """Two small files."""
    (folder / "a").write_bytes(b"one")
    (folder / "sub").mkdir()
    (folder / "sub" / "b").write_bytes(b"two")
    return {"note": "hello"}


def make(store, filling=fill, **options):
    """Obtain the one folder that these tests are about."""
    path = folder_of(store, "things", FINGERPRINT)
    return obtain(path, filling, fingerprint=FINGERPRINT, format=FORMAT, **options)


def leftovers(store):
    """Names beside the finished folders, except the lock file."""
    return [
        path.name
        for path in (store / "things").iterdir()
        if path.name.startswith(".") and path.name != ".lock"
    ]


def test_the_second_time_it_is_found(tmp_path):
    """A folder is made once; afterwards it is verified and used, without asking for its contents."""
    first, was_there = make(tmp_path)
    again, was_there_again = make(tmp_path, filling=lambda folder: pytest.fail("made twice"))

    assert (was_there, was_there_again) == (False, True)
    assert first == again
    assert first.manifest["note"] == "hello"
    assert sorted(first.manifest["files"]) == ["a", "sub/b"]
    assert leftovers(tmp_path) == []


def test_two_stores_hold_equal_bytes(tmp_path):
    """The manifest depends on the contents only, so its digest is the same elsewhere."""
    (one, _), (two, _) = make(tmp_path / "one"), make(tmp_path / "two")

    assert one.digest == two.digest


@pytest.mark.parametrize("error", [RuntimeError("no"), KeyboardInterrupt()])
def test_nothing_remains_of_a_failure(tmp_path, error):
    """A failure or Ctrl-C on the way leaves neither folder nor temporary folder, and the next try works."""

    def failing(folder):
        fill(folder)
        raise error

    with pytest.raises(type(error)):
        make(tmp_path, failing)

    assert leftovers(tmp_path) == []
    assert make(tmp_path)[1] is False


class FullDisk(Files):
    """A disk that is full from the n-th operation of one kind on."""

    def __init__(self, operation):
        self.operation = operation

    def __getattribute__(self, name):
        if name == object.__getattribute__(self, "operation"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return object.__getattribute__(self, name)


@pytest.mark.parametrize("operation", ["make_folder", "write", "sync_file", "sync_folder", "rename"])
def test_a_full_disk_leaves_nothing(tmp_path, operation):
    """Whichever operation hits the full disk: exit code 4, a fix, and nothing half-written."""
    with pytest.raises(InputError, match="No space left") as caught:
        make(tmp_path, files=FullDisk(operation))

    assert caught.value.code == "DAT-011"
    assert "CODEX_STORE" in caught.value.fix
    assert leftovers(tmp_path) == []
    assert make(tmp_path)[1] is False


def test_a_store_that_cannot_be_made_is_refused(tmp_path):
    """A file in the place of the store is an input error with the operating system's reason."""
    (tmp_path / "things").write_bytes(b"")

    with pytest.raises(InputError, match="cannot be written"):
        make(tmp_path)


def test_the_second_of_two_verifies_and_uses_the_first(tmp_path):
    """When two processes make one folder at a time, the first rename wins and the other uses it."""

    def slow(folder):
        make(tmp_path)  # another process finishes while this one is at work
        fill(folder)
        return {"note": "hello", "loser": True}

    stored, was_there = make(tmp_path, slow)

    assert was_there is False
    assert "loser" not in stored.manifest
    assert leftovers(tmp_path) == []


def test_many_at_once_agree(tmp_path):
    """Threads that make one folder together all get the same verified folder."""
    digests = []
    threads = [threading.Thread(target=lambda: digests.append(make(tmp_path)[0].digest)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(digests) == 8
    assert len(set(digests)) == 1
    assert leftovers(tmp_path) == []


def test_what_a_killed_process_left_is_removed(tmp_path):
    """A temporary folder without a living builder is reclaimed by the next build; one with a builder stays."""
    code = (
        "import os, pathlib, sys\n"
        "from codex_core.data.store import folder_of, obtain\n"
        "def fill(folder):\n"
        "    (folder / 'half').write_bytes(b'x')\n"
        "    os.kill(os.getpid(), 9)\n"
        f"path = folder_of(pathlib.Path(sys.argv[1]), 'things', {FINGERPRINT!r})\n"
        f"obtain(path, fill, fingerprint={FINGERPRINT!r}, format={FORMAT!r})\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert killed.returncode == -9
    assert len(leftovers(tmp_path)) == 1
    seen = []

    def look(folder):
        seen.extend(leftovers(tmp_path))
        make(tmp_path)  # another build must not take this one's folder away
        assert folder.exists()
        return fill(folder)

    make(tmp_path, look)

    assert len(seen) == 1  # its own temporary folder; the leftover was gone by then
    assert leftovers(tmp_path) == []


def test_a_folder_without_manifest_is_made_anew(tmp_path):
    """Half a copy of a folder is no folder: it is replaced."""
    path = folder_of(tmp_path, "things", FINGERPRINT)
    path.mkdir(parents=True)
    (path / "a").write_bytes(b"half")

    assert make(tmp_path)[1] is False
    assert (path / "a").read_bytes() == b"one"


def _change_a_byte(path):
    before = path.stat()
    path.write_bytes(b"ond")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


DAMAGE = {
    "a byte, same size and time": lambda path: _change_a_byte(path / "a"),
    "a missing file": lambda path: (path / "sub" / "b").unlink(),
    "a longer file": lambda path: (path / "a").write_bytes(b"one more"),
    "a file too many": lambda path: (path / "extra").write_bytes(b""),
    "another fingerprint": lambda path: (path / MANIFEST).write_text(
        (path / MANIFEST).read_text().replace("abab", "cdcd")
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_refused(tmp_path, name):
    """Whatever differs from the manifest is an artefact error that names the file and the folder to remove."""
    stored, _ = make(tmp_path)
    DAMAGE[name](stored.path)

    with pytest.raises(ArtefactError) as caught:
        make(tmp_path)

    assert caught.value.code == "DAT-012"
    assert int(caught.value.exit_code) == 7


@pytest.mark.parametrize(
    "manifest",
    [
        b"",
        b"[]",
        b"{}",
        b'{"format": "test/1"}',
        b'{"format": "test/2", "files": {}}',
        b'{"format": "test/1", "files": {"a": 3}}',
    ],
)
def test_another_manifest_is_refused(tmp_path, manifest):
    """A manifest that is broken or of another format is an artefact error, not a crash."""
    (tmp_path / MANIFEST).write_bytes(manifest)

    with pytest.raises(ArtefactError) as caught:
        verify(tmp_path, format=FORMAT)

    assert caught.value.code == "DAT-013"


def test_a_folder_without_manifest_does_not_verify(tmp_path):
    """Verifying a folder that is no stored one says what is missing."""
    with pytest.raises(ArtefactError, match="no manifest"):
        read_manifest(tmp_path, format=FORMAT)


def test_manifests_are_readable_json(tmp_path):
    """A manifest is sorted JSON that a person can open."""
    stored, _ = make(tmp_path)
    text = (stored.path / MANIFEST).read_text(encoding="utf-8")

    assert text == json.dumps(json.loads(text), sort_keys=True, indent=2, ensure_ascii=False) + "\n"

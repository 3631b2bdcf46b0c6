"""The store: content-addressed folders that appear whole or not at all.

Decisions: a folder is built under a temporary name and renamed when complete; its manifest, which holds size and
blake3 of every other file, is written last. Of two processes that build the same folder the first rename wins;
the other verifies what it finds and uses it. A build that was killed leaves a temporary folder; the next build
beside it takes it away, which a lock held by living builders prevents (where the system has no `fcntl`, such
folders stay until somebody removes them). Manifests hold no times, no absolute paths and no floats.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import attrs

from codex_core.canonical import digest_matches, file_digest, readable_json, sha256_of
from codex_core.data.columns import writing
from codex_core.errors import ArtefactError
from codex_core.files import OS_FILES, Files

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

MANIFEST = "manifest.json"


@attrs.frozen
class Stored:
    """A verified folder: its path, its manifest, and the digest of the manifest's bytes."""

    path: Path
    manifest: Mapping[str, Any]
    digest: str


def folder_of(store: Path, kind: str, fingerprint: str) -> Path:
    """Where the store keeps what has this fingerprint (`sha256:<hex>`)."""
    return store / kind / fingerprint.partition(":")[2][:32]


def obtain(
    path: Path,
    fill: Callable[[Path], Mapping[str, Any]],
    *,
    fingerprint: str,
    format: str,
    files: Files = OS_FILES,
) -> tuple[Stored, bool]:
    """The verified folder at `path`, made by `fill` if it does not exist; and whether it was there already.

    `fill` writes into the empty folder it is given and returns the rest of the manifest. Raises `ArtefactError`
    for a folder that exists and is damaged or another one, `InputError` when the store cannot be written.
    """
    was_there = (path / MANIFEST).exists()
    if not was_there:
        with _temporary(path, files) as temporary:
            manifest = {**fill(temporary), "format": format, "fingerprint": fingerprint}
            manifest["files"] = _digests(temporary)
            with writing(path):
                _commit(temporary, path, readable_json(manifest).encode(), files)
    stored = verify(path, format=format)
    if stored.manifest.get("fingerprint") != fingerprint:
        raise damaged(path / MANIFEST, f"expected the fingerprint {fingerprint}")
    return stored, was_there


def verify(path: Path, *, format: str) -> Stored:
    """Check every byte of a stored folder against its manifest; raises `ArtefactError` naming what differs."""
    manifest, digest = read_manifest(path, format=format)
    found = {file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()} - {MANIFEST}
    for name, held in sorted(manifest["files"].items()):
        if name not in found:
            raise damaged(path / name, "the file is missing")
        if (path / name).stat().st_size != held["bytes"] or not digest_matches(path / name, held["digest"]):
            raise damaged(path / name, f"its bytes do not have the digest {held['digest']}")
    if extra := sorted(found - set(manifest["files"])):
        raise damaged(path / extra[0], "the manifest does not know this file")
    return Stored(path, manifest, digest)


def read_manifest(path: Path, *, format: str) -> tuple[dict[str, Any], str]:
    """A folder's manifest and the digest of its bytes; raises `ArtefactError` for any other folder."""
    try:
        data = (path / MANIFEST).read_bytes()
        manifest = json.loads(data)
        found = manifest["format"]
        if found == format:
            for held in manifest["files"].values():
                int(held["bytes"]), held["digest"].index(":")
            return manifest, sha256_of(data)
        why = f"expected the format {format}, found {found!r}"
    except FileNotFoundError:
        why = f"it has no {MANIFEST}"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        why = f"its {MANIFEST} cannot be read: {error!r}"
    raise ArtefactError(
        code="DAT-013",
        what="this is not a folder of prepared data",
        where=str(path),
        why=why,
        fix="name a folder under .codex/store/tokens, or prepare the data again",
    )


def damaged(path: Path, why: str) -> ArtefactError:
    """A stored file that is not what its manifest says, as a message."""
    return ArtefactError(
        code="DAT-012",
        what="prepared data is damaged",
        where=str(path),
        why=why,
        fix=f"remove {path.parent} and run the command again: it will be prepared anew",
    )


def _digests(folder: Path) -> dict[str, dict[str, Any]]:
    """Size and blake3 of every file below the folder, by relative name."""
    return {
        file.relative_to(folder).as_posix(): {
            "bytes": file.stat().st_size,
            "digest": file_digest(file, "blake3"),
        }
        for file in folder.rglob("*")
        if file.is_file()
    }


def _commit(temporary: Path, path: Path, manifest: bytes, files: Files) -> None:
    """Make everything durable, the manifest last, and move it to its name unless that exists by now."""
    for file in sorted(temporary.rglob("*")):
        files.sync_file(file)
    files.write(temporary / MANIFEST, manifest)
    files.sync_file(temporary / MANIFEST)
    files.sync_folder(temporary)
    try:
        files.rename(temporary, path)
    except OSError:
        if not (path / MANIFEST).exists():
            raise
        return  # another process was first: the caller verifies and uses its folder
    files.sync_folder(path.parent)


@contextmanager
def in_use(path: Path) -> Iterator[None]:
    """Keep housekeeping away from a folder while the block runs; nothing where the system has no `fcntl`."""
    descriptor = hold(path)
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def hold(path: Path) -> int | None:
    """A descriptor that keeps housekeeping away from a folder until it is closed."""
    if fcntl is None:
        return None
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    with suppress(OSError):  # a file system without locks: age alone protects there
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    return descriptor


def is_held(path: Path) -> bool:
    """Whether some process uses a folder."""
    if fcntl is None:
        return False
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


@contextmanager
def _temporary(path: Path, files: Files) -> Iterator[Path]:
    """An empty folder beside `path`, locked while in use, removed unless it was renamed."""
    prefix = f".{path.name}.tmp-"
    temporary = path.with_name(f"{prefix}{os.getpid()}-{secrets.token_hex(4)}")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path.parent / ".lock"):
            for leftover in path.parent.glob(".*.tmp-*"):
                _reclaim(leftover, files)
            if path.exists() and not (path / MANIFEST).exists():  # somebody copied half a folder here
                files.remove(path)
            files.make_folder(temporary)
            lock = _lock(temporary)
    try:
        yield temporary
    finally:
        with suppress(OSError):
            if temporary.exists():
                files.remove(temporary)
        if lock is not None:
            os.close(lock)


def _reclaim(leftover: Path, files: Files) -> None:
    """Remove a temporary folder whose builder is gone."""
    if fcntl is None:
        return
    try:
        descriptor = os.open(leftover, os.O_RDONLY)
    except FileNotFoundError:
        return  # its builder has just finished
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        files.remove(leftover)
    except BlockingIOError:
        pass  # its builder is alive
    finally:
        os.close(descriptor)


def _lock(path: Path) -> int | None:
    if fcntl is None:
        return None
    descriptor = os.open(path, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock file, so that nobody reclaims a folder between its making and its locking."""
    if fcntl is None:
        yield
        return
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)

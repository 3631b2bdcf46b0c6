"""The checkpoints of a run as a part of its account: whole, known to the journal, and children of their parents."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from codex_core import checkpoints
from codex_core.canonical import readable_json
from codex_core.errors import CodexError
from codex_core.running.account import Reading


def look_at_checkpoints(read: Reading) -> None:
    """Every committed checkpoint, its place in the journal, and its parents."""
    root = read.folder / "checkpoints"
    named = list(_named_by(read))
    told, ever = dict(named), set(named)  # of a path that was saved anew, the last word counts
    locks = {record.fields["lock_digest"] for record in read.of_kind("run_started")}
    for path in reversed(checkpoints.committed(root).values()):
        name = f"{root.name}/{path.name}"
        try:
            found = checkpoints.verify(path)
        except CodexError as error:
            where = Path(error.where or path)
            inside = where.relative_to(read.folder) if where.is_relative_to(read.folder) else Path(name)
            read.differs(inside.as_posix(), error.what)
            continue
        read.cover(path, found.digest)
        manifest, parent = found.manifest, found.manifest.get("parent")
        if manifest["run"]["id"] != read.record["id"]:
            read.differs(f"{name}/MANIFEST.json", f"it is of the run {manifest['run']['id']}")
        elif manifest["lock_digest"] not in locks:
            read.differs(
                f"{name}/MANIFEST.json", f"no attempt began with its lock, {manifest['lock_digest']}"
            )
        if parent is not None and (f"{root.name}/{parent['path']}", parent["digest"]) not in ever:
            read.differs(
                f"{name}/MANIFEST.json", f"the journal knows no parent {parent['path']} ({parent['digest']})"
            )
        if name not in told:
            read.not_covered.append(f"{name}: it verifies, and the journal does not know it")
        elif told[name] != found.digest:
            read.differs(f"{name}/MANIFEST.json", f"the journal says it had the digest {told[name]}")
    newest = read.record["checkpoint"]
    if newest is not None and not (read.folder / newest["manifest"]).is_file():
        read.differs(newest["manifest"], "the newest checkpoint is missing")
    _pointers(read, root, ever)


def _named_by(read: Reading) -> Iterator[tuple[str, str]]:
    """The checkpoints that the journal names, in order, as (path, digest).

    One whose process died before it could say so is named by the attempt that went on from it.
    """
    for record in read.history.records:
        if record.kind == "checkpoint_saved":
            yield str(record.fields["path"]), str(record.fields["manifest_digest"])
        elif record.kind == "run_resumed" and record.fields["parent"]:
            yield str(record.fields["parent"]), str(record.fields["parent_digest"])


def _pointers(read: Reading, root: Path, ever: Iterable[tuple[str, str]]) -> None:
    """Small files beside the checkpoints that no end sealed: as they are written, naming checkpoints that were."""
    for path in sorted(root.glob("*.json")):
        name = f"{root.name}/{path.name}"
        if name in read.record["files"]:
            continue
        data = path.read_bytes()
        try:
            values = json.loads(data)
            is_ours = readable_json(values).encode() == data
        except ValueError as error:
            read.differs(name, f"it cannot be read: {error}")
            continue
        if not is_ours:
            read.differs(name, "its bytes are not those that were written")
        elif unknown := [
            held for held in _named_in(values) if (f"{root.name}/{held[0]}", held[1]) not in ever
        ]:
            read.differs(name, f"the journal knows no checkpoint {unknown[0][0]} ({unknown[0][1]})")
        else:
            read.cover(path)


def _named_in(value: Any) -> Iterator[tuple[str, str]]:
    """The checkpoints that a file names, wherever in it, as (folder, digest)."""
    if isinstance(value, Mapping):
        if {"path", "manifest_digest"} <= value.keys():
            yield str(value["path"]), str(value["manifest_digest"])
        for held in value.values():
            yield from _named_in(held)
    elif isinstance(value, list):
        for held in value:
            yield from _named_in(held)

"""Where a checkpoint comes from, back to step 0, across attempts.

Decisions: a checkpoint's manifest names its parent; of a parent that has gone the journal still knows digest, step
and attempt, and what came before it. Where both speak they must agree. A copied checkpoint without its run shows one
step of its way, and says that the rest is not to be seen from here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from codex_core import journal
from codex_core.errors import ArtefactError
from codex_core.journal import JournalRecord
from codex_core.running import checkpoint_files as form


@attrs.frozen(kw_only=True)
class Ancestor:
    """One checkpoint on the way: `state` is `here`, `moved` (aside, or to quarantine) or `gone`.

    `attempt` and `saved` (when) are None where neither its manifest nor the journal is there to tell.
    """

    step: int
    digest: str
    state: str
    attempt: int | None = None
    path: str | None = None
    saved: str | None = None


@attrs.frozen(kw_only=True)
class Lineage:
    """A checkpoint and its ancestors, newest first; `problem` says why the way does not reach step 0."""

    ancestors: tuple[Ancestor, ...]
    problem: str | None = None


@attrs.frozen
class _Link:
    """A parent as somebody names it; step 0 has no digest."""

    step: int
    digest: str


def lineage(folder: Path) -> Lineage:
    """The way of the checkpoint in `folder`; raises `ArtefactError` when its own manifest cannot be read."""
    manifest, digest = form.read_manifest(folder, formats=(form.CHECKPOINT_FORMAT, form.MODEL_FORMAT))
    root = folder.parent
    found = dict(_manifests(root)) | {digest: (folder, manifest)}
    records = journal.read(root.parent / "journal").records
    told, link = [], _Link(int(manifest["step"]), digest)
    while True:
        told.append(_ancestor(link, found, records, root))
        link_or_problem = _parent_of(link, found, records)
        if isinstance(link_or_problem, str):
            return Lineage(ancestors=tuple(told), problem=link_or_problem)
        if link_or_problem.step == 0:
            return Lineage(ancestors=tuple(told))
        if link_or_problem.step >= link.step:
            return Lineage(
                ancestors=tuple(told), problem=f"the parent of step {link.step} is not older than it"
            )
        link = link_or_problem


Found = Mapping[str, tuple[Path, Mapping[str, Any]]]


def _manifests(root: Path) -> Iterator[tuple[str, tuple[Path, Mapping[str, Any]]]]:
    """Every readable manifest below a folder of checkpoints by digest, those moved away included."""
    for path in sorted(root.glob(f"**/{form.MANIFEST}"), reverse=True):
        if ".tmp-" in path.parent.name:
            continue
        try:
            manifest, digest = form.read_manifest(path.parent)
        except ArtefactError:
            continue
        yield digest, (path.parent, manifest)


def _ancestor(link: _Link, found: Found, records: Sequence[JournalRecord], root: Path) -> Ancestor:
    saved = _saved(records, link.digest)
    if link.digest not in found:
        attempt = None if saved is None else saved.attempt
        when = None if saved is None else saved.time
        return Ancestor(step=link.step, digest=link.digest, state="gone", attempt=attempt, saved=when)
    path, manifest = found[link.digest]
    is_here = form.step_of(path) is not None or manifest["format"] == form.MODEL_FORMAT
    return Ancestor(
        step=link.step,
        digest=link.digest,
        state="here" if is_here else "moved",
        attempt=manifest["run"].get("attempt"),
        path=path.relative_to(root).as_posix(),
        saved=manifest.get("saved") or (None if saved is None else saved.time),
    )


def _parent_of(link: _Link, found: Found, records: Sequence[JournalRecord]) -> _Link | str:
    """The parent, step 0, or a sentence why nobody knows."""
    by_journal = _by_journal(link, records)
    if link.digest not in found:
        if by_journal is None:
            return f"step {link.step} ({link.digest}) is gone, and no journal tells what came before it"
        return by_journal
    manifest = found[link.digest][1]
    if manifest["format"] == form.MODEL_FORMAT:
        held = manifest["exported_from"]
        return f"this is a model exported from {held['path']} ({held['digest']}); its run is not here"
    parent = manifest["parent"]
    own = _Link(0, "") if parent is None else _Link(_step_named(parent["path"]), str(parent["digest"]))
    if by_journal is not None and by_journal != own:
        return (
            f"the manifest of step {link.step} names {own.digest or 'no parent'}, "
            f"the journal {by_journal.digest or 'none'}"
        )
    return own


def _by_journal(link: _Link, records: Sequence[JournalRecord]) -> _Link | None:
    """What the journal knows of the parent of a checkpoint; None when it does not know the checkpoint."""
    saved = _saved(records, link.digest)
    if saved is None:
        # The process died between saving it and saying so: the attempt that went on from it names it.
        resumed = [one for one in records if one.fields.get("parent_digest") == link.digest]
        before = [one for one in records if resumed and one.attempt < resumed[0].attempt]
        saved = before[-1] if before else None
        if saved is None:
            return None
        earlier = [one for one in before if one.attempt == saved.attempt]
    else:
        earlier = [one for one in records if one.attempt == saved.attempt and one.sequence < saved.sequence]
    for record in reversed(earlier):
        if record.kind == "checkpoint_saved" and record.fields["step"] < link.step:
            return _Link(int(record.fields["step"]), str(record.fields["manifest_digest"]))
        if record.kind == "run_resumed":
            return _Link(int(record.fields["step"]), str(record.fields["parent_digest"]))
    return _Link(0, "") if saved.attempt == 1 else None


def _saved(records: Sequence[JournalRecord], digest: str) -> JournalRecord | None:
    kept = (one for one in records if one.kind == "checkpoint_saved")
    return next((one for one in kept if one.fields.get("manifest_digest") == digest), None)


def _step_named(name: str) -> int:
    return int(name.split("-")[1].partition(".")[0])

"""`codex runs verify`: every digest of a run directory worked out again, and what no digest can tell.

The account goes outwards from the journal: its chain, the files that its attempts stand on, the views that follow
from it, the checkpoints that it names, and `run.json`, which knows its last line. Decisions: stored bytes are
digested, never a record that was read and written again, so that runs of older versions verify; what an older version
did not digest is told as not covered; everything that differs is found, the first is the verdict. One root digest
stands for all of it: a history that somebody rewrote from end to end shows only against a root kept elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from codex_core import journal as journals
from codex_core.canonical import digest_of, file_digest, readable_json, sha256_of
from codex_core.errors import CodexError
from codex_core.running import binding
from codex_core.running.account import Account, Reading
from codex_core.running.claims import LOCK_NAME
from codex_core.running.verifying_checkpoints import look_at_checkpoints
from codex_core.running.views import MetricRows, as_csv, as_ndjson
from codex_core.runs import ENDED, RunDir

#: What a digest inside a run can never show.
NOT_PROVABLE = (
    "a history rewritten with all its digests would verify, too: compare the root digest with one kept elsewhere",
    "what was installed and computed is as the run says it was: codex reproduce RUN --verify computes it again",
)

#: After these records the metric views are written.
_VIEWS_AFTER = ("run_resumed", "checkpoint_saved", "run_finished")

CheckData = Callable[[Mapping[str, Any]], str | None]
"""Verifies the prepared set that a lock's `data` names; a sentence when it is not at hand, raises when it differs."""


def verify(run: RunDir, *, check_data: CheckData) -> Account:
    """Look at everything in a run's folder. Raises `ArtefactError` or `InputError` when it cannot even be opened."""
    record = run.record()
    read = Reading(folder=run.path, record=record, history=journals.read(run.journal))
    looks: dict[str, Callable[[Reading], None]] = {
        "run.json": _run_json,
        "journal": _journal,
        "run.json and journal": _agreement,
        "lock.json": _foundations,
        "files": _sealed,
        "metric views": _views,
        "checkpoints": look_at_checkpoints,
        "data.json": lambda held: _data(held, check_data),
    }
    for name, look in looks.items():
        try:
            look(read)
        except (
            KeyError,
            TypeError,
            ValueError,
            AttributeError,
        ) as error:  # what was altered may read as anything
            read.differs(name, f"it does not hold what it should: {type(error).__name__} {error}")
    for path in sorted(run.journal.glob("*.ndjson")):
        read.cover(path)
    return Account(
        run_id=record["id"],
        attempts=read.history.attempt,
        steps=int(record["step"]),
        covered=dict(sorted(read.covered.items())),
        findings=tuple(read.findings),
        not_covered=tuple(read.not_covered),
        unaccounted=tuple(_unaccounted(read)),
    )


def _run_json(read: Reading) -> None:
    """`run.json` against its own digest."""
    path = read.folder / "run.json"
    data = path.read_bytes()
    content = json.loads(data)
    digest = content.pop("digest", None)
    if digest is None and not {"journal", "files"}.isdisjoint(content):
        read.differs("run.json", "its own digest is missing")
    elif digest is None:
        read.not_covered.append(
            "run.json has no digest of its own; name, created, ended and tags are as they stand"
        )
    elif digest != digest_of(content):
        read.differs("run.json", f"its content has the digest {digest_of(content)}, it says {digest}")
    if data != readable_json(content if digest is None else {**content, "digest": digest}).encode():
        read.differs("run.json", "it was written by something else")
    read.cover(path)


def _agreement(read: Reading) -> None:
    """What `run.json` says of the run, against its journal."""
    for name, held, told in _told_of_the_run(read):
        if held != told:
            read.differs("run.json", f"{name} is {held!r}; the journal says {told!r}")


def _told_of_the_run(read: Reading) -> Iterator[tuple[str, Any, Any]]:
    """Name, value in `run.json` and value in the journal, of what stands in both."""
    record = read.record
    for started in read.of_kind("run_started")[-1:]:
        for name, field in (("id", "run_id"), ("attempt", "attempt"), ("lock_digest", "lock_digest")):
            yield name, record[name], started.fields[field]
    finished = read.of_kind("run_finished")[-1:]
    if record["status"] in ENDED and finished and finished[0].attempt == record["attempt"]:
        for name in ("status", "exit_code"):
            yield name, record[name], finished[0].fields[name]
    saved = read.of_kind("checkpoint_saved")[-1:]
    if saved and record["checkpoint"] is not None:
        yield "checkpoint", record["checkpoint"]["digest"], saved[0].fields["manifest_digest"]


def _journal(read: Reading) -> None:
    """The chain of lines, and its last one against `run.json`."""
    tail = read.record["journal"]
    newest = [path for attempt, _, path in journals.segments(read.folder / "journal")][-1:]
    for problem in read.history.problems:
        name, _, what = problem.partition(", ")
        is_torn = "torn last line" in problem
        if is_torn and (tail is None or newest != [read.folder / "journal" / name]):
            read.not_covered.append(f"journal/{name}, {what}: no digest covers a torn line")
        else:
            read.differs(f"journal/{name}", what)
    last = f"journal/{newest[0].name}" if newest else "journal"
    if not read.history.records:
        read.differs(last, "there is no record")
    elif tail is None:
        read.not_covered.append(f"{last}: nothing follows its last line, which therefore nobody vouches for")
    elif (read.history.sequence, read.history.tail) != (tail["sequence"], tail["tail"]):
        problem = f"it ends with record {read.history.sequence} ({read.history.tail}); run.json says {tail['sequence']}"
        read.differs(last, f"{problem} ({tail['tail']})")


def _foundations(read: Reading) -> None:
    """Lock, configuration, data and environment of every attempt, as its journal bound them."""
    bound = {record.attempt: record.fields for record in read.of_kind("files_bound")}
    last = max(read.history.attempt, 1)
    for started in read.of_kind("run_started"):
        attempt = started.attempt
        held = bound.get(attempt, {"files": {}, "entries": {}})
        lock = binding.in_force(read.folder, "lock.json", attempt, last=last)
        problem = lock_problem(lock, started.fields["lock_digest"], entries=held["entries"])
        if problem is not None:
            read.differs(lock.name, problem)
        for name, digest in held["files"].items():
            path = binding.in_force(read.folder, name, attempt, last=last)
            if not path.is_file():
                read.differs(path.name, "the file is missing")
            elif name != "lock.json" and file_digest(path) != digest:
                read.differs(
                    path.name, f"its bytes do not have the digest that attempt {attempt} bound, {digest}"
                )
            else:
                read.cover(path)
        if lock.is_file():
            read.cover(lock)
        uncovered = [name for name in binding.FOUNDATIONS[1:] if name not in held["files"]]
        if uncovered and not bound:
            read.not_covered.append(
                f"{', '.join(uncovered)}: the run was written before such files were bound"
            )


def lock_problem(path: Path, digest: str, *, entries: Mapping[str, str]) -> str | None:
    """What is wrong with a stored lock, None when it has the digest that it should; changed entries are named."""
    try:
        data = path.read_bytes()
        values = json.loads(data)
        found = digest_of(values)
    except (OSError, ValueError) as error:
        return f"it cannot be read: {error}"
    if found == digest and data == readable_json(values).encode():
        return None
    if found == digest:
        return "its bytes are not those that were written, though its values are"
    changed = binding.changed_entries(values, entries) if entries and isinstance(values, dict) else []
    named = f"changed: {', '.join(changed[:5])}; " if changed else ""
    return f"{named}its content has the digest {found}, the run began with {digest}"


def _sealed(read: Reading) -> None:
    """The files beside the journal and the pointers, as they were when the last attempt ended."""
    for name, digest in read.record["files"].items():
        path = read.folder / name
        if not path.is_file():
            read.differs(name, "the file is missing")
        elif file_digest(path) != digest:
            named = {finding.artefact for finding in read.findings}
            if name not in named:
                read.differs(name, f"its bytes do not have the digest that run.json holds, {digest}")
        else:
            read.cover(path)


def _views(read: Reading) -> None:
    """The metric views, byte for byte as they follow from the journal."""
    wanted = _views_of(read)
    for name in binding.VIEWS:
        path = read.folder / name
        expected = [view[name] for view in wanted]
        if not path.is_file():
            if read.record["status"] in ENDED:
                read.differs(name, "the file is missing")
        elif (held := path.read_bytes()) in expected:
            read.cover(path)
        else:
            read.differs(name, _first_difference(held, expected[-1] if expected else b""))


def _views_of(read: Reading) -> list[dict[str, bytes]]:
    """The views as they were at each writing; after an attempt that ended there is only the last one."""
    rows, views = MetricRows(), []
    for record in read.history.records:
        rows.take(record.kind, record.fields)
        if record.kind in _VIEWS_AFTER:
            held = rows.rows()
            views.append({"metrics.ndjson": as_ndjson(held).encode(), "metrics.csv": as_csv(held).encode()})
    return views[-1:] if read.record["status"] in ENDED else views


def _first_difference(held: bytes, expected: bytes) -> str:
    for number, (one, other) in enumerate(
        zip(held.split(b"\n"), expected.split(b"\n"), strict=False), start=1
    ):
        if one != other:
            return f"line {number} does not follow from the journal"
    return "it does not have the rows that follow from the journal"


def _data(read: Reading, check_data: CheckData) -> None:
    """`data.json` within itself and against the lock, and the prepared set that it names."""
    try:
        lock = json.loads((read.folder / "lock.json").read_bytes())["data"]
        held = json.loads((read.folder / "data.json").read_bytes())
        found = sha256_of(readable_json(held["manifest"]).encode())
    except (OSError, ValueError, KeyError, TypeError) as error:
        read.differs("data.json", f"it cannot be compared with the lock: {error}")
        return
    if held["manifest_digest"] != lock["manifest_digest"]:
        read.differs("data.json", f"it names {held['manifest_digest']}, the lock {lock['manifest_digest']}")
    elif found != held["manifest_digest"]:
        read.not_covered.append(
            "data.json: its copy of the manifest is not the manifest itself (secrets were taken out)"
        )
    try:
        absent = check_data(lock)
    except CodexError as error:
        read.differs("prepared data", f"{error.what}: {error.where} ({error.why})")
        return
    if absent is not None:
        read.not_covered.append(f"prepared data: {absent}")


def _unaccounted(read: Reading) -> list[str]:
    """Files that no digest of the run vouches for."""
    found = []
    for path in sorted(read.folder.rglob("*")):
        name = path.relative_to(read.folder).as_posix()
        is_inside = any(parent.as_posix() in read.covered for parent in Path(name).parents)
        named = name in read.covered or any(finding.artefact == name for finding in read.findings)
        if (
            path.is_file()
            and not is_inside
            and not named
            and name != LOCK_NAME
            and path.parent.name != "journal"
        ):
            found.append(name)
    return found

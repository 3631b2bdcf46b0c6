"""Run directories: one folder per run, complete in itself, with relative paths only.

Decisions: a folder is created exclusively, so two runs never share one; `run.json` is replaced atomically and says
what was last known; the status of a run whose process is gone without a last word is `abandoned`, and that is
worked out by the reader, not written. A file that a later attempt replaces is kept as `<name>.a<attempt>`.
"""

from __future__ import annotations

import json
import re
import shutil
import uuid
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import attrs

from codex_core import journal as journals
from codex_core.canonical import digest_of, readable_json
from codex_core.clock import Now, timestamp, utc_now
from codex_core.errors import ArtefactError, InputError, UsageError
from codex_core.files import OS_FILES, Files, write_atomic
from codex_core.lock import LOCK_FORMAT, Lock
from codex_core.places import Places
from codex_core.running import claims, project_journal
from codex_core.running.claims import Claim

RUN_FORMAT = "codex-rundir/1"

#: What `run.json` says while a process works on the run; with the process gone it means `abandoned`.
WORKING = ("preparing", "running")
ENDED_WELL = ("finished", "stopped")
ENDED = (*ENDED_WELL, "failed", "interrupted", "rolled back")

#: The tag of a run that executes another one again; it names that run's id.
REPRODUCES = "reproduces"

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


@attrs.frozen
class Status:
    """How a run stands: `preparing`, `running`, or how it ended; `abandoned` when its process left without a word."""

    name: str
    reason: str = ""

    @property
    def is_over(self) -> bool:
        """Whether there is nothing left to do: it reached its steps or stopped early by its own rule."""
        return self.name in ENDED_WELL


@attrs.frozen
class RunDir:
    """One run's folder; nothing is read before a method is called."""

    path: Path

    @classmethod
    def create(
        cls,
        places: Places,
        *,
        name: str,
        run_dir: Path | None = None,
        tags: Mapping[str, str] | None = None,
        now: Now = utc_now,
        files: Files = OS_FILES,
    ) -> RunDir:
        """Make the folder of a new run, `runs/<date>_<name>_<id8>/` or `run_dir`, which must not exist."""
        identity, moment = uuid.uuid4().hex, now()
        short = _UNSAFE.sub("-", name).strip("-.")[:64] or "run"
        path = run_dir or places.runs / f"{moment:%Y-%m-%d}_{short}_{identity[:8]}"
        if path.exists():
            raise _exists(path)
        record = {"id": identity, "name": name, "created": timestamp(moment), "tags": dict(tags or {})}
        is_ours = False
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            files.make_folder(path)
            is_ours = True
            run = cls(path)
            files.make_folder(run.checkpoints)
            files.make_folder(run.journal)
            run._write_record(_FRESH | record, files=files)
        except OSError as error:
            if is_ours:
                shutil.rmtree(path, ignore_errors=True)
            elif path.exists():  # another process was faster
                raise _exists(path) from None
            raise unwritable(path, error) from None
        if path.parent != places.runs:
            project_journal.append(places, "run_created", {"id": identity, "path": str(path.absolute())})
        return run

    @classmethod
    def open(cls, path: Path) -> RunDir:
        """An existing run's folder; raises `InputError` when it is none, `ArtefactError` when it is damaged."""
        run = cls(path)
        run.record()
        return run

    @property
    def journal(self) -> Path:
        """The folder of the journal's segments."""
        return self.path / "journal"

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return self.path / "checkpoints"

    def record(self) -> dict[str, Any]:
        """What `run.json` holds."""
        path = self.path / "run.json"
        try:
            record = json.loads(path.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            raise InputError(
                code="RUN-004", what=f"{self.path} is not a run directory", fix="codex runs list"
            ) from None
        except (OSError, ValueError) as error:
            raise _damaged(path, str(error)) from None
        if not isinstance(record, dict) or record.get("format") != RUN_FORMAT:
            raise _damaged(path, f"expected the format {RUN_FORMAT}")
        if not all(isinstance(record.get(name), str) and record[name] for name in ("id", "name", "status")):
            raise _damaged(path, "id, name and status must be there")
        return _FRESH | record

    def update(self, changes: Mapping[str, Any], *, files: Files = OS_FILES) -> None:
        """Replace fields of `run.json`."""
        self._write_record(self.record() | dict(changes), files=files)

    def _write_record(self, record: Mapping[str, Any], *, files: Files) -> None:
        """Replace `run.json`, with a digest of what it says."""
        content = {name: value for name, value in record.items() if name != "digest"}
        self.write("run.json", readable_json({**content, "digest": digest_of(content)}), files=files)

    def lock(self) -> Lock:
        """The lock of the newest attempt; `InputError` when the run ended before it had one."""
        path = self.path / "lock.json"
        try:
            values = json.loads(path.read_bytes())
            if isinstance(values, dict) and values.get("format", LOCK_FORMAT) != LOCK_FORMAT:
                raise _of_another_version(path, values)
            return Lock.from_dict(values)
        except FileNotFoundError:
            raise InputError(
                code="RUN-006",
                what="the run ended before its lock was written; there is nothing to resume",
                where=str(self.path),
                fix="start it anew: codex train FILE",
            ) from None
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise _damaged(path, str(error)) from None

    def status(self) -> Status:
        """How the run stands, seen from this machine."""
        record = self.record()
        if record["status"] in ENDED:
            return Status(record["status"], record["reason"])
        if claims.is_held(self.path):
            return Status(record["status"])
        last = journals.last(self.journal)
        if last is not None and last.kind == "run_finished":  # the record could not be replaced any more
            return Status(str(last.fields["status"]), str(last.fields["reason"]))
        named = claims.holder(self.path)
        return Status("abandoned", named.cause_of_death() if named else "the process left without a record")

    def claim(self) -> Claim:
        """Take the run for this process; see `claims.Claim.take`."""
        try:
            return Claim.take(self.path)
        except OSError as error:
            raise unwritable(self.path, error) from None

    def write(self, name: str, text: str, *, files: Files = OS_FILES) -> None:
        """Replace one of the run's files atomically."""
        write_atomic(self.path / name, text, files=files)

    def replace(self, name: str, text: str, *, attempt: int, files: Files = OS_FILES) -> None:
        """Write a file of `attempt`; what an earlier attempt wrote is kept beside it when it differs."""
        path = self.path / name
        if path.exists() and path.read_text(encoding="utf-8") != text:
            kept = path.with_name(f"{path.stem}.a{attempt - 1}{path.suffix}")
            if not kept.exists():
                shutil.copyfile(path, kept)
        self.write(name, text, files=files)

    def tidy(self) -> None:
        """Remove what a killed process left of files that it was replacing; only for who holds the claim."""
        for path in self.path.glob(".*.tmp-*"):
            path.unlink(missing_ok=True)

    def discard(self) -> None:
        """Remove a run that never made a step: nothing in it could be resumed."""
        shutil.rmtree(self.path, ignore_errors=True)


_FRESH: dict[str, Any] = {
    "format": RUN_FORMAT,
    "id": "",
    "name": "",
    "status": "preparing",
    "reason": "",
    "attempt": 1,
    "step": 0,
    "exit_code": None,
    "config_hash": None,
    "lock_digest": None,
    "created": "",
    "ended": None,
    "tags": {},
    "checkpoint": None,
    "journal": None,
    "files": {},
}


def folders(places: Places) -> set[Path]:
    """Every folder that is or was a run of the project, readable or not: under `runs/`, and placed elsewhere."""
    found = {path.resolve() for path in places.runs.iterdir()} if places.runs.is_dir() else set()
    for row in project_journal.rows(places):
        if row.get("kind") == "run_created" and isinstance(row.get("path"), str):
            found.add(Path(row["path"]).resolve())
    return found


def all_runs(places: Places) -> list[RunDir]:
    """The project's readable runs, oldest first: those under `runs/` and those placed elsewhere."""
    found = []
    for path in folders(places):
        try:
            record = RunDir(path).record()
        except (InputError, ArtefactError):
            continue
        found.append((str(record["created"]), str(path)))
    return [RunDir(Path(path)) for _, path in sorted(found)]


def find(reference: str, places: Places) -> RunDir:
    """The run that `@last`, a path, an id prefix (4 characters or more) or a name means.

    A path may be the run's folder or anything in it, such as a checkpoint. Raises `InputError` when nothing
    matches and `UsageError` when several runs do.
    """
    if (run := _run_at(Path(reference))) is not None:
        return run
    runs = all_runs(places)
    if reference == "@last":
        matches = runs[-1:]
    else:
        matches = [run for run in runs if _matches(run, reference)]
    if len(matches) > 1:
        raise UsageError(
            code="RUN-005",
            what=f"{reference!r} means {len(matches)} runs",
            why=", ".join(run.path.name for run in matches[-5:]),
            fix="give more of the id, or the path of the run",
        )
    if not matches:
        raise InputError(
            code="RUN-004",
            what=f"no run matches {reference!r}",
            where=str(places.runs),
            why=_near(reference, runs),
            fix="codex runs list",
        )
    return matches[0]


def _near(reference: str, runs: list[RunDir]) -> str:
    """Ids, names and folders near to a reference; where none is, the newest runs."""
    known = ["@last"] if runs else []
    for run in runs:
        record = run.record()
        known += [str(record["id"])[: max(8, len(reference))], str(record["name"]), run.path.name]
    near = get_close_matches(reference, dict.fromkeys(known), n=3)
    if near:
        return f"did you mean {' or '.join(near)}?"
    newest = ", ".join(run.path.name for run in runs[-3:])
    return f"the newest runs are {newest}" if newest else "this project has no runs yet"


def newest_unfinished(config_hash: str, places: Places) -> RunDir:
    """What `--resume auto` continues: the newest run of this configuration that is not over.

    Raises `InputError` when there is none.
    """
    for run in reversed(all_runs(places)):
        record = run.record()
        has_lock = (run.path / "lock.json").exists()
        if REPRODUCES in record["tags"]:
            continue
        if record["config_hash"] == config_hash and has_lock and not run.status().is_over:
            return run
    raise InputError(
        code="RUN-006",
        what="there is no unfinished run of this configuration to resume",
        where=str(places.runs),
        why=f"no run with the configuration hash {config_hash} waits to be continued",
        fix="codex train FILE --resume-or-start, or name a run: codex runs list",
    )


def _run_at(path: Path) -> RunDir | None:
    if not path.exists():
        return None
    for folder in (path, *path.absolute().parents):
        if (folder / "run.json").is_file():
            return RunDir.open(folder)
    return None


def _matches(run: RunDir, reference: str) -> bool:
    record = run.record()
    is_prefix = len(reference) >= 4 and str(record["id"]).startswith(reference)
    return is_prefix or reference in (record["name"], run.path.name)


def _exists(path: Path) -> InputError:
    is_run = (path / "run.json").exists()
    return InputError(
        code="RUN-001",
        what=f"the run directory {path} exists already",
        why="a run never writes over another one",
        fix=f"continue it: codex train --resume '{path}'"
        if is_run
        else "name a folder that does not exist yet",
    )


def unwritable(path: Path, error: OSError) -> InputError:
    """The error for a run directory that cannot be written before the start."""
    return InputError(
        code="RUN-002",
        what=f"cannot write the run directory: {error.strerror or error}",
        where=str(path),
        fix="free the disk or the permission, or choose another place: --run-dir DIR",
    )


def _of_another_version(path: Path, values: Mapping[str, Any]) -> ArtefactError:
    environment = values.get("environment")
    packages = environment.get("packages") if isinstance(environment, Mapping) else None
    version = packages.get("codex-core") if isinstance(packages, Mapping) else None
    return ArtefactError(
        code="RUN-020",
        what=f"the lock has the format {values.get('format')}",
        where=str(path),
        why=f"this version of Codex reads {LOCK_FORMAT}",
        fix=f"continue it with the version that wrote it: pip install codex-core=={version or 'VERSION'}; "
        "or start a new run from its configuration: codex train RUN/config.yaml",
    )


def _damaged(path: Path, why: str) -> ArtefactError:
    return ArtefactError(
        code="RUN-009",
        what=f"{path.name} is not what Codex wrote",
        where=str(path),
        why=why,
        fix="restore the file from a copy of the run directory",
    )

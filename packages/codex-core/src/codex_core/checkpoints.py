"""Checkpoints: committed whole or not at all, verified before anything counts on them, pruned last.

A save goes through these steps, each of which may be the last one that happens: write into
`step-N.tmp-<nonce>`, sync every file, manifest last, sync, rename, sync the parent, re-read and verify; only then
the pointers move and retention prunes. Decisions: a trainer that hands over copies may train on meanwhile; there is
at most one save in flight, what it did is told on the trainer's thread, and what it failed with is raised there, at
the next step edge; a folder that stands in the way of a resume is moved aside when it is whole and superseded, and
into `quarantine/` when it does not verify.
"""

from __future__ import annotations

import copy
import errno
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

from codex_core.clock import Now, timestamp, utc_now
from codex_core.contracts import Emit, SavedState, WriteFile
from codex_core.errors import ArtefactError, CodexError, Interrupted, RunFailed
from codex_core.events import CheckpointSaved, Warned
from codex_core.files import OS_FILES, Files
from codex_core.running import checkpoint_files as form
from codex_core.running import pointers
from codex_core.running.checkpoint_files import Checkpoint, inspect, verify
from codex_core.running.commit import Abandoned, Commit, Content
from codex_core.running.finding import committed, find, ignore, newest
from codex_core.running.in_flight import InFlight
from codex_core.running.retention import Candidate, Rule, best
from codex_core.running.upkeep import Upkeep, move_aside, pin_path, quarantine, value_of

__all__ = [
    "POINTER",
    "Checkpoint",
    "CheckpointStore",
    "Origin",
    "Rule",
    "Upkeep",
    "committed",
    "find",
    "ignore",
    "inspect",
    "newest",
    "pin_path",
    "verify",
]

#: The file that names the newest checkpoint.
POINTER = pointers.LAST

_DISK_FULL = {errno.ENOSPC, errno.EDQUOT}


@attrs.frozen(kw_only=True)
class Origin:
    """Where the checkpoints of an attempt come from, as their manifests say it.

    `run` holds id, name and attempt; `components` the canonical ids, versions and options of model, tokenizer and
    trainer; `data` the identity of the prepared set; `environment` library and device versions; `layout` the number
    of processes and threads that computed it.
    """

    run: Mapping[str, Any]
    config_hash: str
    lock_digest: str
    components: Mapping[str, Any]
    data: Mapping[str, Any]
    environment: Mapping[str, Any]
    layout: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.define(kw_only=True, eq=False)
class CheckpointStore:
    """The checkpoints of one attempt: the shell around what a trainer saves (`contracts.Checkpoints`).

    `every` and `last` are steps (`every` 0 saves the last one only), `rule` what retention keeps, `parent` the
    newest checkpoint that verified, at first the one that the attempt resumed from; `metrics` gives the newest
    metric rows at a save, and `before_save` makes durable what a resume from the new checkpoint will count on.
    With `asynchronous`, what trainers hand over as `detached` is written beside the training.
    """

    root: Path
    origin: Origin
    tokenizer_path: Path
    every: int
    last: int
    rule: Rule = attrs.field(factory=Rule)
    asynchronous: bool = False
    parent: Checkpoint | None = None
    emit: Emit = ignore
    metrics: Callable[[], Mapping[str, Any]] = dict
    before_save: Callable[[], None] = lambda: None
    files: Files = OS_FILES
    now: Now = utc_now
    timer: Callable[[], float] = time.perf_counter
    _in_flight: InFlight | None = None
    _saved: Checkpoint | None = None
    _upkeep: Upkeep = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._upkeep = Upkeep(root=self.root, rule=self.rule, files=self.files, now=self.now)

    def resume(self) -> SavedState | None:
        """Where the attempt continues; None when it starts at step 0."""
        return None if self.parent is None else self.parent.saved_state()

    def is_due(self, step: int) -> bool:
        """Whether a checkpoint is to be saved after `step`: each `every` steps, and at the last one always.

        A save that has ended meanwhile is told now; what it failed with is raised.
        """
        if self._in_flight is not None and self._in_flight.is_done:
            self.finish()
        return step == self.last or (self.every > 0 and step % self.every == 0)

    def save(
        self,
        *,
        step: int,
        position: int,
        tokens: int,
        state: Mapping[str, Any],
        files: Mapping[str, WriteFile],
        detached: bool = False,
    ) -> None:
        """Commit a checkpoint; saving the step just saved again does nothing.

        With `detached` the files may be written after the call has returned. Raises `RunFailed` when the disk
        fills or fails, here or for the save before; earlier checkpoints stay as they are.
        """
        self.finish()
        if self.parent is not None and self.parent.step == step:
            return
        try:
            self.before_save()
        except OSError as error:
            raise _failed(step, self.root, error) from error
        content = self._content(step, position, tokens, state, files)
        self._in_flight = InFlight(lambda: self._work(content), name=f"checkpoint {step}")
        if detached and self.asynchronous:
            self._in_flight.start()
        else:
            self._in_flight.run_here()
            self.finish()

    def finish(self) -> None:
        """Wait for the save in flight, tell what it did, and raise what it failed with."""
        if self._in_flight is None:
            return
        try:
            self._in_flight.wait()
        finally:
            if self._in_flight.is_done:
                self._in_flight = None
                self.parent, self._saved = self._saved or self.parent, None
                for event in self._upkeep.taken_events():
                    self.emit(event)

    @contextmanager
    def settled(self) -> Iterator[None]:
        """At the end of the block nothing is in flight: it was waited for, or given up after a stop at once."""
        try:
            yield
        except (Interrupted, KeyboardInterrupt):
            self._give_up()
            raise
        except BaseException as error:  # raised again, after the save in flight has ended
            try:
                self.finish()
            except BaseException as other:  # noqa: BLE001 - the first failure is the one to tell
                error.add_note(f"the checkpoint in flight failed, too: {other}")
            raise
        self.finish()

    def clear(self) -> None:
        """At the start of an attempt: drop unfinished saves, and move away what comes after the parent.

        Pointers are put right first, so that none names what is moved.
        """
        for path in sorted(self.root.iterdir()):
            if ".tmp-" in path.name:
                self.files.remove(path)
                self._warn(f"removed {path.name}, a save that did not finish")
        start = 0 if self.parent is None else self.parent.step
        later = {step: path for step, path in committed(self.root).items() if step > start}
        if later or self.parent is not None:
            self._upkeep.move_pointers(self.parent)
        for path in later.values():
            try:
                verify(path)
            except ArtefactError as error:
                kept = quarantine(path, files=self.files)
                self._warn(
                    f"moved {path.name} to {form.QUARANTINE}/{kept.name}: {error.what}", code="CKP-008"
                )
            else:
                aside = move_aside(path, files=self.files)
                self._warn(f"moved {path.name} aside to {aside.name}: the run continues from step {start}")

    def _content(
        self,
        step: int,
        position: int,
        tokens: int,
        state: Mapping[str, Any],
        payload: Mapping[str, WriteFile],
    ) -> Content:
        parent, metrics = self.parent, dict(self.metrics())
        told = {
            **attrs.asdict(self.origin, recurse=False),
            "parent": None if parent is None else {"path": parent.path.name, "digest": parent.digest},
            "metrics": metrics,
            "saved": timestamp(self.now()),
        }
        if self.rule.ranks:
            present = [one for one in self._upkeep.candidates() if one.step < step]
            present.append(
                Candidate(step=step, value=value_of({"step": step, "metrics": metrics}, self.rule))
            )
            table = [{"step": one.step, "value": one.value} for one in best(present, self.rule)]
            told["best"] = {"metric": self.rule.metric, "split": self.rule.split, "mode": self.rule.mode}
            told["best"]["table"] = table
        return Content(
            step=step,
            position=position,
            tokens=tokens,
            state=copy.deepcopy(dict(state)),
            payload=dict(payload),
            told=told,
        )

    def _work(self, content: Content) -> None:
        """Everything of a save that may happen beside the training."""
        flight, began = self._in_flight, self.timer()
        go_on = (lambda: flight.is_wanted) if flight is not None else (lambda: True)
        try:
            folder = Commit(
                root=self.root, tokenizer_path=self.tokenizer_path, files=self.files, go_on=go_on
            ).write(content)
            saved = self._verified(folder)
            self._upkeep.move_pointers(saved)
        except OSError as error:
            raise _failed(content.step, self.root, error) from error
        self._saved = saved
        self._upkeep.events.append(
            CheckpointSaved(
                step=saved.step,
                path=f"{self.root.name}/{saved.path.name}",
                manifest_digest=saved.digest,
                size_bytes=saved.size_bytes,
                seconds=round(self.timer() - began, 6),
            )
        )
        self._upkeep.remove([*self._upkeep.going(), *self._upkeep.replaced(saved.step)])

    def _verified(self, folder: Path) -> Checkpoint:
        """The checkpoint just written; what does not verify goes to quarantine, and the save has failed."""
        try:
            return verify(folder)
        except ArtefactError as error:
            kept = quarantine(folder, files=self.files)
            text = f"moved {folder.name} to {form.QUARANTINE}/{kept.name}: {error.what}"
            self._upkeep.events.append(Warned(code="CKP-008", text=text))
            raise

    def _give_up(self) -> None:
        if self._in_flight is None:
            return
        self._in_flight.give_up()
        try:
            self.finish()
        except Abandoned:
            self._warn("the save in flight was given up: the run was stopped at once")
        except CodexError as other:  # the stop is what happened; a save that failed beside it is told
            self._warn(f"the save in flight failed: {other.what}")

    def _warn(self, text: str, *, code: str = "CKP-006") -> None:
        self.emit(Warned(code=code, text=text))


def _failed(step: int, root: Path, error: OSError) -> CodexError:
    is_full = error.errno in _DISK_FULL
    return RunFailed(
        code="RUN-008" if is_full else "CKP-004",
        what=f"the checkpoint of step {step} could not be written: {error.strerror or error}",
        where=str(root),
        why="earlier checkpoints are untouched",
        fix="free some disk space, then: codex train --resume RUN" if is_full else "codex train --resume RUN",
    )

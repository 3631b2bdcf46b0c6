"""Where events go: scrubbed once, then journal, metric rows, writers, and the display.

Decisions: the journal comes first and is synchronous; `ProgressMade` goes to the display only; at a saved
checkpoint the journal is made durable and the views are rewritten. A display or an event hook that fails is told
once and set aside; a journal that cannot be written stops the run, because nothing may happen unrecorded.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable
from typing import Any

import attrs

from codex_core.contracts import Emit
from codex_core.errors import Interrupted, RunFailed
from codex_core.events import CheckpointSaved, Event, PluginFailed, ProgressMade, Warned
from codex_core.files import OS_FILES, Files
from codex_core.journal import Journal, plain
from codex_core.running.sinks import Pump
from codex_core.running.views import MetricRows
from codex_core.runs import RunDir
from codex_core.scrub import Scrubber

Fire = Callable[[str, Any], Iterable[PluginFailed]]
"""`registry.fire`: calls an event hook of all plugins and gives the failures."""


@attrs.define(kw_only=True, eq=False)
class Recorder:
    """Records one attempt; `emit` is what trainers get. Used by one thread."""

    run: RunDir
    journal: Journal
    rows: MetricRows
    pump: Pump
    scrub: Scrubber
    display: Emit
    files: Files = OS_FILES
    step: int = 0
    _failed_hooks: set[tuple[str, str]] = attrs.field(factory=set)

    def emit(self, event: Event) -> None:
        """Record an event and show it."""
        if isinstance(event, ProgressMade):
            self._show(event)
            return
        fields = self.scrub(plain(event.fields()))
        row = self.rows.take(event.kind, fields)
        self._journal(event.kind, fields)
        if row is not None:
            self.step = max(self.step, int(row["step"]))
            self.pump.put(row)
        if isinstance(event, CheckpointSaved):
            self._saved(event)
        self._show(event)
        for reported in self.pump.events():
            self.emit(reported)

    def write_views(self) -> None:
        """Make the journal durable and rewrite the metric views."""
        try:
            self.journal.sync()
            self.rows.write(self.run.path, files=self.files)
        except OSError as error:
            raise failed_write(error, str(self.run.path)) from error

    def fire(self, fire: Fire, hook: str, context: Any) -> None:
        """Call an event hook of all plugins; a plugin's hook that failed is told once."""
        for failure in fire(hook, context):
            if (failure.plugin, failure.hook) not in self._failed_hooks:
                self._failed_hooks.add((failure.plugin, failure.hook))
                self.emit(failure)

    def _saved(self, event: CheckpointSaved) -> None:
        self.step = max(self.step, event.step)
        self.write_views()
        self.pump.flush()
        manifest = {"manifest": f"{event.path}/MANIFEST.json", "digest": event.manifest_digest}
        try:
            changes = {"step": event.step, "checkpoint": {"step": event.step, **manifest}}
            self.run.update(changes, files=self.files)
        except OSError as error:
            raise failed_write(error, str(self.run.path)) from error

    def _journal(self, kind: str, fields: Any) -> None:
        try:
            self.journal.append((kind, fields))
        except OSError as error:
            raise failed_write(error, str(self.run.journal)) from error

    def _show(self, event: Event) -> None:
        try:
            self.display(event)
        except Interrupted:  # a signal that happened to arrive here
            raise
        except Exception as error:  # noqa: BLE001 -- a display of any kind must not stop a run
            self.display = _nothing
            self.emit(Warned(code="RUN-015", text=f"the display failed and is off: {error}"))


def _nothing(event: Event) -> None:
    """The display that is left when the display failed."""


def failed_write(error: OSError, where: str) -> RunFailed:
    """The failure of a run whose directory cannot be written any more."""
    is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return RunFailed(
        code="RUN-008" if is_full else "RUN-018",
        what=f"the run could not be recorded: {error.strerror or error}",
        where=where,
        why="nothing may happen unrecorded; earlier checkpoints are untouched",
        fix=("free some disk space, then: " if is_full else "") + "codex train --resume RUN",
    )

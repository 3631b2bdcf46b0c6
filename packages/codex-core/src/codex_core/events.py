"""What happened, as past-tense facts with fields; the journal, writers and displays are fed from these.

Decisions: fields of `StepDone` and `EvaluationDone` are deterministic (they make up the metric views); times,
rates and memory travel in `PerfMeasured`; displays get `ProgressMade`, which is not journalled.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import attrs


@attrs.frozen(kw_only=True)
class Event:
    """Any fact; `kind` names it in the journal."""

    kind: ClassVar[str] = "event"

    def fields(self) -> dict[str, Any]:
        """The fact's fields as plain values."""
        return attrs.asdict(self)

    def sentence(self) -> str | None:
        """What a person is told of an event that displays do not know by its class; None tells nothing."""
        return None


@attrs.frozen(kw_only=True)
class RunStarted(Event):
    """An attempt of a run began."""

    kind: ClassVar[str] = "run_started"
    run_id: str
    name: str
    attempt: int
    lock_digest: str
    steps: int


@attrs.frozen(kw_only=True)
class RunResumed(Event):
    """An attempt continues from a checkpoint; `changes` are the resumable fields that differ, as (before, after).

    `parent` is empty and `step` 0 when the run had ended before its first checkpoint. `summary` is one readable line.
    """

    kind: ClassVar[str] = "run_resumed"
    parent: str
    parent_digest: str
    step: int
    changes: Mapping[str, Any] = attrs.field(factory=dict)
    summary: str = ""


@attrs.frozen(kw_only=True)
class StepDone(Event):
    """Training reached `step`; `metrics` (loss in nats per supervised token, lr, ...) are deterministic."""

    kind: ClassVar[str] = "step"
    step: int
    tokens: int
    metrics: Mapping[str, float]


@attrs.frozen(kw_only=True)
class StepDigest(Event):
    """What `codex reproduce` compares of a step: loss and norm as `float.hex`, the parameters that it left.

    `parameters` is one digest over all trainable tensors, `tensors` short ones by name. What was not worked out in
    the step is None. It is journalled and no part of the metric views; `codex_core.digests.step_digest` makes one.
    """

    kind: ClassVar[str] = "step_digest"
    step: int
    loss: str | None
    grad_norm: str | None
    parameters: str
    tensors: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class FilesBound(Event):
    """What an attempt stands on was written: `files` are digests by name, `entries` those of the lock by path."""

    kind: ClassVar[str] = "files_bound"
    files: Mapping[str, str]
    entries: Mapping[str, str]


@attrs.frozen(kw_only=True)
class ReproductionStarted(Event):
    """The run executes another one (`run_id`) again; `allowed` are lock entries that differ, as (there, here)."""

    kind: ClassVar[str] = "reproduction_started"
    run_id: str
    lock_digest: str
    allowed: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class EvaluationDone(Event):
    """The live model was evaluated on `split` after `step`."""

    kind: ClassVar[str] = "evaluation"
    step: int
    split: str
    metrics: Mapping[str, float]


@attrs.frozen(kw_only=True)
class PerfMeasured(Event):
    """Rates and sizes over the interval that ended at `step`; units are in the names."""

    kind: ClassVar[str] = "perf"
    step: int
    values: Mapping[str, float]


@attrs.frozen(kw_only=True)
class CheckpointSaved(Event):
    """A checkpoint was committed and verified; `path` is relative to the run directory.

    `seconds` is how long that took, beside the training or not; None where nobody measured.
    """

    kind: ClassVar[str] = "checkpoint_saved"
    step: int
    path: str
    manifest_digest: str
    size_bytes: int
    seconds: float | None = None


@attrs.frozen(kw_only=True)
class CheckpointRejected(Event):
    """A checkpoint did not verify and was passed over."""

    kind: ClassVar[str] = "checkpoint_rejected"
    path: str
    reason: str


@attrs.frozen(kw_only=True)
class CheckpointPruned(Event):
    """Retention removed a checkpoint."""

    kind: ClassVar[str] = "checkpoint_pruned"
    step: int
    path: str


@attrs.frozen(kw_only=True)
class Warned(Event):
    """Something that a user should know and that did not stop the run."""

    kind: ClassVar[str] = "warning"
    code: str
    text: str


@attrs.frozen(kw_only=True)
class WriterDisabled(Event):
    """A metric sink failed and receives nothing more in this attempt."""

    kind: ClassVar[str] = "writer_disabled"
    name: str
    reason: str


@attrs.frozen(kw_only=True)
class PluginFailed(Event):
    """An event hook of a plugin failed and is not called again in this attempt."""

    kind: ClassVar[str] = "plugin_failed"
    plugin: str
    hook: str
    reason: str


@attrs.frozen(kw_only=True)
class RunFinished(Event):
    """An attempt ended; `status` is `finished`, `stopped`, `failed` or `interrupted`."""

    kind: ClassVar[str] = "run_finished"
    status: str
    step: int
    reason: str
    exit_code: int


@attrs.frozen(kw_only=True)
class ProgressMade(Event):
    """For displays only: `done` of `total` units of a phase (`read`, `tokenize`, `train`, `evaluate`)."""

    kind: ClassVar[str] = "progress"
    phase: str
    done: int
    total: int | None = None
    detail: str = ""


@attrs.frozen(kw_only=True)
class RunStartedContext:
    """What `codex_run_started` receives.

    `options` is the configuration's `telemetry` section with `system_metrics` (`off`, `cpu`, `gpu`) among it.
    """

    run_id: str
    run_dir: Path
    attempt: int
    lock: Mapping[str, Any]
    telemetry: Mapping[str, Any]


@attrs.frozen(kw_only=True)
class CheckpointSavedContext:
    """What `codex_checkpoint_saved` receives."""

    run_id: str
    run_dir: Path
    step: int
    path: Path


@attrs.frozen(kw_only=True)
class RunFinishedContext:
    """What `codex_run_finished` receives; every file of the run is complete when it is called."""

    run_id: str
    run_dir: Path
    status: str
    step: int
    telemetry: Mapping[str, Any]

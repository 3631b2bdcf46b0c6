"""The sections of a configuration: every field with its type, default, meaning, unit and bounds.

Decisions: this is the one table of defaults; the reference, `config explain` and the JSON schema are read from it.
A component is `name: ...` with its own options flat beside the name; `model: decoder` is short for a name alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import attrs

from codex_core.components import NAME_PATTERN
from codex_core.duration import Duration
from codex_core.options import option
from codex_core.planning.structuring import CONVERTER, Misfit

SCHEMA = "codex-run/1"

SPLITS = ("train", "validation", "test")

#: What switches safety off; it stands where a policy's name would, and needs a reason.
NO_SAFETY = "none"

#: Sections that hold one component, with its kind.
COMPONENT_KINDS = {
    "tokenizer": "tokenizers",
    "model": "models",
    "trainer": "trainers",
    "safety": "safety_policies",
}

#: Places that hold lists of components, with their kind.
COMPONENT_LISTS = {"data.sources": "datasets", "evaluation.metrics": "metrics", "writers": "writers"}

_COMPONENT_NAME = re.compile(rf"(?:[a-z0-9][a-z0-9-]*/)?{NAME_PATTERN.pattern}")


@attrs.frozen
class ComponentChoice:
    """A component by name (`decoder`, or `codex-models/decoder`) and its options as plain values."""

    name: str
    options: Mapping[str, Any] = attrs.field(factory=dict)

    def as_written(self) -> dict[str, Any]:
        """The choice as configurations hold it: options flat beside the name."""
        return {"name": self.name, **self.options}


@attrs.frozen(kw_only=True)
class RunSection:
    """What the run is called, and what makes it repeatable."""

    name: str = option("run", doc="what the run is called, in its folder and in listings")
    seed: int = option(0, doc="the one seed; every use of chance has a seed derived from it", minimum=0)
    exactness: str = option(
        "L1",
        doc="what a repetition promises: L0 seeded, L1 equal to the bit on one machine, L2 also whatever "
        "trainer.micro_batch_rows is; L3, also for any number of processes, is refused",
        choices=("L0", "L1", "L2", "L3"),
    )
    threads: int | None = option(
        None, doc="compute threads; by default the processors this process may use", minimum=1
    )
    log_every: Duration = option(Duration(10), doc="how often a metric row is written", resumable=True)
    digest_every: Duration = option(
        Duration(1),
        doc="how often the digests that `codex reproduce` compares are recorded; 0 never does",
        resumable=True,
    )
    max_rollbacks: int = option(
        3,
        doc="how often a training may go back to a checkpoint and leave documents out before it ends",
        minimum=0,
        resumable=True,
    )


@attrs.frozen(kw_only=True)
class DataSection:
    """What is read, how it is split, and how rows are packed."""

    sources: tuple[ComponentChoice, ...] = option(doc="datasets to read, in this order")
    split: tuple[float, float, float] = option(
        (0.9, 0.05, 0.05), doc="shares of train, validation and test; they sum to 1"
    )
    split_seed: int = option(0, doc="which documents fall into which split", minimum=0)
    split_by: str = option(
        "content",
        doc="what decides the split of a document: its group or text, so that no text is in two, or index, where it "
        "stands in its file; texts that then stand in two splits are counted",
        choices=("content", "index"),
    )
    seq_len: int = option(256, doc="length of a packed row", unit="tokens", minimum=2)
    packing: str = option(
        "concat",
        doc="how documents become rows: concat cuts and never pads, fit keeps documents whole and fills rows with "
        "what fits, none gives each document rows of its own",
        choices=("concat", "fit", "none"),
    )
    weights: tuple[int, ...] | None = option(
        None,
        doc="rows of each source in turn, in whole numbers: [3, 1] reads three rows of the first source for each "
        "of the second; by default sources are packed together and every row is read once per epoch",
    )
    dedup: str = option("exact", doc="which repeated documents are dropped", choices=("exact", "none"))
    unsupervised: str = option(
        "drop",
        doc="what a row does of which nothing is to be learned: it is dropped and counted, or ends the reading",
        choices=("drop", "refuse"),
    )
    order_seed: int | None = option(
        None, doc="the order of rows; by default derived from run.seed", minimum=0
    )
    shard_bytes: int = option(
        256 << 20, doc="ids of a split are cut into files of about this size", unit="bytes", minimum=1024
    )


@attrs.frozen(kw_only=True)
class CheckpointSection:
    """When checkpoints are saved and how many are kept."""

    every: Duration = option(Duration(500), doc="how often to save; 0 saves at the end only", resumable=True)
    keep_last: int = option(2, doc="newest checkpoints that are kept", minimum=1, resumable=True)
    keep_best: int = option(
        1, doc="best checkpoints that are kept besides, of those evaluated", minimum=0, resumable=True
    )
    best_metric: str | None = option(
        None, doc="the metric that tells which are best; by default the first one", resumable=True
    )
    best_mode: str = option(
        "auto",
        doc="which numbers are better; auto: as the metric says of itself",
        choices=("auto", "min", "max"),
        resumable=True,
    )
    keep_every: Duration = option(
        Duration(0), doc="checkpoints at multiples of this stay for good; 0: none", resumable=True
    )
    keep_for: float | None = option(
        None,
        doc="age at which a checkpoint goes although it is among the newest; the newest, best and pinned stay",
        unit="hours",
        minimum=0.0,
        resumable=True,
    )
    asynchronous: bool = option(
        True, doc="write while the training goes on, from a copy in memory", resumable=True
    )


@attrs.frozen(kw_only=True)
class EvaluationSection:
    """When the model in training is evaluated, and on what."""

    every: Duration = option(Duration(500), doc="how often to evaluate; 0 never does", resumable=True)
    split: str = option("validation", doc="the split to evaluate on", choices=SPLITS, resumable=True)
    metrics: tuple[ComponentChoice, ...] = option(
        (ComponentChoice("bits_per_byte"),), doc="what to compute", resumable=True
    )
    max_documents: int | None = option(
        None,
        doc="evaluate the first so many documents; by default all",
        unit="documents",
        minimum=1,
        resumable=True,
    )


@attrs.frozen(kw_only=True)
class TelemetrySection:
    """What is measured beside the training."""

    system_metrics: str = option(
        "off", doc="sample the machine while training", choices=("off", "cpu", "gpu"), resumable=True
    )
    system_interval_s: float = option(
        5.0,
        doc="time between samples",
        unit="seconds",
        minimum=0.1,
        resumable=True,
        only_with=("system_metrics", ("cpu", "gpu")),
    )


@attrs.frozen(kw_only=True)
class PluginsSection:
    """Which plugins may take part, and who offers a name that several claim."""

    pins: Mapping[str, str] = option(
        factory=dict, doc="distribution by `kind/name`, e.g. `tokenizers/bpe: codex-tokenizers`"
    )
    only: tuple[str, ...] | None = option(None, doc="use these plugins and the built-in ones; by default all")
    off: tuple[str, ...] = option((), doc="plugins to leave out")


def _structure_choice(value: Any, _: Any) -> ComponentChoice:
    """Read `decoder` or `{name: decoder, width: 64}`."""
    if isinstance(value, ComponentChoice):
        return value
    options = {"name": value} if isinstance(value, str) else dict(value) if isinstance(value, Mapping) else {}
    name = options.pop("name", None)
    if name is None:
        raise Misfit("a component is chosen by its name", code="CFG-007", fix="write `name: ...` first")
    if not isinstance(name, str) or not _COMPONENT_NAME.fullmatch(name):
        raise Misfit(f"{name!r:.60} is not the name of a component", fix="codex registry list")
    return ComponentChoice(name, options)


CONVERTER.register_structure_hook(ComponentChoice, _structure_choice)

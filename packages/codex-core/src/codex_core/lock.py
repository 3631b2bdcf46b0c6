"""The two records between a configuration and a run: `Plan` (what was asked) and `Lock` (what will happen).

Decisions: both are plain values; canonical ids only, no import paths; durations are values in a plan and steps in
a lock. A lock is written before step 1 and is the only thing that a resume and `reproduce` read.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from codex_core.canonical import digest_of
from codex_core.duration import Duration
from codex_core.records import Memory

LOCK_FORMAT = "codex-lock/1"


@attrs.frozen(kw_only=True)
class Choice:
    """A component that a configuration names.

    `section` is where (`model`, `data.sources[0]`), `kind` and `name` what was written, `id` the canonical id
    (None when not installed), `state` the registry's verdict (`ok`, `missing-extra`, `not-installed`, ...),
    `problem` and `fix` what is in the way, `options` the options as plain values with defaults filled in
    (as written when the options class is not at hand).
    """

    section: str
    kind: str
    name: str
    id: str | None
    version: str | None = None
    state: str = "ok"
    problem: str | None = None
    fix: str | None = None
    runtime: str | None = None
    options: Mapping[str, Any] = attrs.field(factory=dict)

    def locked(self) -> dict[str, Any]:
        """What a lock keeps: id, version, options."""
        return {"id": self.id, "version": self.version, "options": dict(self.options)}


@attrs.frozen(kw_only=True)
class Plan:
    """What a configuration asks for, with names resolved; made without reading data and without torch.

    `config` is the resolved configuration as plain values, `config_hash` its digest, `origins` where each value
    came from, `choices` the components by section, `seeds` by purpose, `duration` how long to train (None when
    the trainer is not installed), `durations` all others by dotted path, `threads` compute threads. Relative
    paths among options start at `base_path`, the working directory; `environ` is what references (`${env:NAME}`)
    among them may name, and stays out of everything that is written.
    """

    config: Mapping[str, Any]
    config_hash: str
    name: str
    seed: int
    exactness: str
    threads: int
    choices: Mapping[str, Choice]
    seeds: Mapping[str, int]
    seq_len: int
    batch_rows: int | None
    duration: Duration | None
    durations: Mapping[str, Duration]
    origins: Mapping[str, str] = attrs.field(factory=dict)
    base_path: Path = attrs.field(factory=Path)
    environ: Mapping[str, str] = attrs.field(factory=dict, eq=False, repr=False)

    @property
    def missing(self) -> tuple[Choice, ...]:
        """Choices that cannot be used here."""
        return tuple(choice for choice in self.choices.values() if choice.state != "ok")


@attrs.frozen(kw_only=True)
class Lock:
    """What will happen, in full: steps, batch, data digests, components with options, seeds, environment.

    `config` is the resolved configuration as plain values: what has no field of its own (retention, the split to
    evaluate on, telemetry) is read there. `components` and `durations` are keyed by where they stand in the
    configuration (`data.sources[0]`, `trainer.warmup`); `durations` are in steps, 0 for never; safety that is
    switched off has the id `none`. `notes` tell what could not be worked out, and why.
    """

    format: str = LOCK_FORMAT
    name: str
    config_hash: str
    seed: int
    exactness: str
    threads: int
    components: Mapping[str, Mapping[str, Any]]
    seeds: Mapping[str, int]
    steps: int
    batch_rows: int
    seq_len: int
    vocab_size: int
    log_every: int
    evaluate_every: int
    save_every: int
    durations: Mapping[str, int]
    epochs: float
    tokens: int
    data: Mapping[str, Any]
    environment: Mapping[str, Any]
    config: Mapping[str, Any] = attrs.field(factory=dict)
    plugins: tuple[Mapping[str, Any], ...] = ()
    memory: Memory | None = None
    disk_bytes: int | None = None
    estimated: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The lock as plain values, as `lock.json` holds it."""
        return attrs.asdict(self)

    def digest(self) -> str:
        """`sha256:<hex>` of the lock's canonical JSON."""
        return digest_of(self.as_dict())

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Lock:
        """Read back what `as_dict` gave; raises `ValueError` for another format."""
        if values.get("format") != LOCK_FORMAT:
            raise ValueError(f"expected {LOCK_FORMAT}, found {values.get('format')!r}")
        held = dict(values)
        memory = held.get("memory")
        held["memory"] = None if memory is None else Memory(**memory)
        held["plugins"] = tuple(held.get("plugins", ()))
        held["estimated"] = tuple(held.get("estimated", ()))
        held["notes"] = tuple(held.get("notes", ()))
        return cls(**held)

"""A training without torch and without a registry: model, trainer, prepared set and plan in their smallest real form.

The model is a table of token counts; a step adds the supervised targets of its rows, and its loss is the negative
log-likelihood of these under the table before they were added. All numbers come from counting.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from codex_core.canonical import digest_of
from codex_core.contracts import Checkpoints, Emit, Evaluate, Loader, PackedRows, PreparedText, ShouldStop
from codex_core.duration import Duration
from codex_core.errors import UnknownComponent
from codex_core.events import EvaluationDone, Event, PluginFailed, ProgressMade, StepDone
from codex_core.execute import Surroundings
from codex_core.lock import Choice, Lock, Plan
from codex_core.options import option
from codex_core.places import Places
from codex_core.records import FitResult, GenerationChunk, GenerationSettings, MetricValue
from codex_core.testing.shell import SmallRows
from tests.support.faulty_files import FaultyFiles

VOCAB = 7
DOCUMENTS = [[0, *(1 + (i * i + j) % 6 for j in range(3 + i % 5)), 0] for i in range(12)]


class CountingModel:
    """Probabilities by counted frequency, one added to each count."""

    vocab_size = VOCAB
    context_length = None

    def __init__(self, counts: Sequence[int]) -> None:
        self.counts = list(counts)

    def loglikelihood(self, token_rows: Sequence[Sequence[int]]) -> list[list[float]]:
        total = sum(self.counts) + VOCAB
        return [[math.log((self.counts[token] + 1) / total) for token in row[1:]] for row in token_rows]

    def generate(
        self, prompts: Sequence[Sequence[int]], settings: GenerationSettings
    ) -> Iterator[GenerationChunk]:
        best = max(range(VOCAB), key=self.counts.__getitem__)
        for index in range(len(prompts)):
            yield GenerationChunk(index=index, ids=(best,) * settings.max_new_tokens, finish_reason="length")

    def fingerprint(self) -> str:
        return digest_of(self.counts)


class CountingModelClass:
    """The target of the model."""

    @classmethod
    def build(cls, options: Any, *, vocab_size: int, seed: int) -> list[int]:
        return [seed % 3] * vocab_size

    @classmethod
    def open(cls, path: Path, *, device: str = "cpu", dtype: str | None = None) -> CountingModel:
        return CountingModel(list((path / "counts.bin").read_bytes()))


@attrs.frozen(kw_only=True)
class TrainerOptions:
    """What the trainer is told."""

    duration: Duration = option(Duration(6), doc="how long")
    batch_rows: int = option(2, doc="rows per step")
    weight: int = option(1, doc="what an observation counts")
    patience: int = option(3, doc="may change on a resume", resumable=True)


@attrs.define
class CountingTrainer:
    """The trainer; `on_step` is called after each step, before its events."""

    options: TrainerOptions
    on_step: Callable[[int], None] | None = None

    def fit(
        self,
        lock: Lock,
        data: PackedRows,
        *,
        load: Loader,
        emit: Emit,
        checkpoints: Checkpoints,
        evaluate: Evaluate,
        should_stop: ShouldStop,
    ) -> FitResult:
        saved = checkpoints.resume()
        if saved is None:
            model = load("model")
            counts = model.target.build(
                model.options, vocab_size=lock.vocab_size, seed=lock.seeds["model.init"]
            )
            step = tokens = 0
        else:
            counts, step, tokens = (
                list((saved.path / "model/counts.bin").read_bytes()),
                saved.step,
                saved.tokens,
            )
        metrics: dict[str, float] = {}
        stopping = False
        while step < lock.steps and not stopping:
            batch = data.rows(step * lock.batch_rows, lock.batch_rows)
            targets = [int(token) for token in batch.targets[batch.loss_mask]]
            logs = CountingModel(counts).loglikelihood([[0, *targets]])[0]
            for token in targets:
                counts[token] += self.options.weight
            step, tokens = step + 1, tokens + len(targets)
            metrics = ({"loss": -math.fsum(logs) / len(logs)} if logs else {}) | {"lr": 0.1 / step}
            if self.on_step is not None:
                self.on_step(step)
            emit(ProgressMade(phase="train", done=step, total=lock.steps))
            if _is_due(step, lock.log_every, lock.steps):
                emit(StepDone(step=step, tokens=tokens, metrics=metrics))
            if lock.evaluate_every and _is_due(step, lock.evaluate_every, lock.steps):
                evaluate(CountingModel(counts), step)
            stopping = step < lock.steps and should_stop()
            if stopping or checkpoints.is_due(step):
                self._save(checkpoints, lock, counts=counts, step=step, tokens=tokens)
        reason = "signal" if stopping else "finished"
        return FitResult(steps=step, tokens=tokens, reason=reason, metrics=metrics)

    def _save(
        self, checkpoints: Checkpoints, lock: Lock, *, counts: Sequence[int], step: int, tokens: int
    ) -> None:
        checkpoints.save(
            step=step,
            position=step * lock.batch_rows,
            tokens=tokens,
            state={"seen": step},
            files={
                "model/counts.bin": lambda path: _write(path, bytes(counts)),
                "trainer/moments/first.bin": lambda path: _write(path, bytes(reversed(counts))),
            },
        )


def _is_due(step: int, every: int, last: int) -> bool:
    return step == last or (every > 0 and step % every == 0)


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


@attrs.frozen(kw_only=True)
class SmallPrepared:
    """A prepared set over `DOCUMENTS`."""

    path: Path
    tokenizer_path: Path
    fingerprint: str = "sha256:prepared"
    manifest_digest: str = "sha256:manifest"
    manifest: Mapping[str, Any] = attrs.field(factory=lambda: {"splits": {"train": {"rows": 8}}})

    def packed(self, split: str, *, seed: int) -> SmallRows:
        return SmallRows(documents=DOCUMENTS, seq_len=8)

    def texts(self, split: str) -> Iterator[PreparedText]:
        for number, ids in enumerate(DOCUMENTS[:4]):
            yield PreparedText(id=str(number), text="x" * len(ids), ids=tuple(ids), num_bytes=len(ids))

    def summary(self) -> str:
        return "12 documents"


def prepared_at(folder: Path) -> SmallPrepared:
    """A prepared set whose tokenizer artefact really lies in a folder."""
    tokenizer = folder / "tokenizer"
    (tokenizer / "parts").mkdir(parents=True, exist_ok=True)
    (tokenizer / "tokenizer.json").write_text('{"kind": "small"}')
    (tokenizer / "parts" / "merges.txt").write_text("a b\n")
    return SmallPrepared(path=folder, tokenizer_path=tokenizer)


@attrs.frozen
class SmallRow:
    """A row of the registry."""

    kind: str
    id: str


@attrs.define
class SmallRegistry:
    """Finds what it was given; event hooks are functions by hook name, whose exceptions become `PluginFailed`."""

    targets: dict[str, Any] = attrs.field(factory=dict)
    options: dict[str, type] = attrs.field(factory=dict)
    hooks: dict[str, Callable[[Any], None]] = attrs.field(factory=dict)
    fired: list[tuple[str, Any]] = attrs.field(factory=list)
    frozen: tuple[dict[str, Any], ...] = ()

    def freeze(self) -> tuple[dict[str, Any], ...]:
        return self.frozen

    def find(self, kind: str, name: str, *, pins: Any = None, usable: bool = True) -> SmallRow:
        if name not in self.targets:
            raise UnknownComponent(code="REG-003", what=f"unknown {kind} {name!r}")
        return SmallRow(kind, name)

    def load(self, row: SmallRow) -> Any:
        return self.targets[row.id]

    def options_class(self, row: SmallRow) -> type | None:
        return self.options.get(row.id)

    def fire(self, hook: str, ctx: Any) -> list[PluginFailed]:
        self.fired.append((hook, ctx))
        try:
            self.hooks.get(hook, lambda _: None)(ctx)
        except Exception as error:  # noqa: BLE001 -- what the real registry guards against
            return [PluginFailed(plugin="small", hook=hook, reason=str(error))]
        return []


@attrs.define
class MeanLoss:
    """A metric: negative log-likelihood per scored token."""

    options: Any = None


def evaluate_small(model: Any, prepared: Any, split: str, *, metrics: Sequence[Any], **_: Any) -> Any:
    """Score a split, as the evaluation room does."""
    logs = [log for text in prepared.texts(split) for log in model.loglikelihood([text.ids])[0]]
    value = -math.fsum(logs) / len(logs)
    return {"nll": MetricValue(name="nll", value=value, unit="nats", count=len(logs), signature="small")}


@attrs.define
class SmallWork:
    """Everything that a small run needs, in one folder; `plan(...)`, `around(...)` and `prepare` make the parts."""

    folder: Path
    on_step: Callable[[int], None] | None = None
    events: list[Event] = attrs.field(factory=list)
    registry: SmallRegistry = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.registry = SmallRegistry(
            targets={
                "small/model": CountingModelClass,
                "small/trainer": lambda options: CountingTrainer(options, self.on_step),
                "small/tokenizer": None,
                "small/nll": MeanLoss,
            },
            options={"small/trainer": TrainerOptions},
        )

    @property
    def places(self) -> Places:
        return Places(root=self.folder, home=self.folder / "home", store=self.folder / "store")

    def prepare(self, plan: Plan) -> SmallPrepared:
        return prepared_at(self.folder / "prepared")

    def open_data(self, lock: Lock) -> SmallPrepared:
        return prepared_at(self.folder / "prepared")

    def plan(
        self, *, steps: int = 6, save_every: int = 2, keep_last: int = 2, seed: int = 0, **trainer: Any
    ) -> Plan:
        """A plan that evaluates and saves each `save_every` steps."""
        options = {"duration": f"{steps} steps", "batch_rows": 2, "weight": 1, "patience": 3, **trainer}
        config = {
            "schema": "codex-run/1",
            "run": {"name": "small", "seed": seed},
            "trainer": {"name": "small/trainer", **options},
            "checkpoint": {"every": f"{save_every} steps", "keep_last": keep_last},
            "evaluation": {"every": f"{save_every} steps", "split": "validation", "max_documents": None},
            "telemetry": {"system_metrics": "off"},
        }
        names = {
            "model": "model",
            "tokenizer": "tokenizer",
            "trainer": "trainer",
            "evaluation.metrics[0]": "nll",
        }
        return Plan(
            config=config,
            config_hash=digest_of(config),
            name="small",
            seed=seed,
            exactness="L1",
            threads=1,
            choices={
                section: Choice(
                    section=section,
                    kind=section,
                    name=name,
                    id=f"small/{name}",
                    version="1.0.0",
                    options=options if section == "trainer" else {},
                )
                for section, name in names.items()
            },
            seeds={"model.init": seed, "data.order": seed},
            seq_len=8,
            batch_rows=2,
            duration=Duration(steps),
            durations={"checkpoint.every": Duration(save_every)},
        )

    def around(self, **changes: Any) -> Surroundings:
        """What a run is given; `changes` replace parts."""
        given: dict[str, Any] = {
            "registry": self.registry,
            "places": self.places,
            "evaluate": evaluate_small,
            "on_event": self.events.append,
            "environment": {"python": "3", "packages": {"codex-core": "1.0.0"}},
            "settle": settle_small,
            "files": FaultyFiles(),
        }
        return Surroundings(**(given | changes))

    def seen(self, kind: type) -> list[Any]:
        """The events of a kind, in order."""
        return [event for event in self.events if isinstance(event, kind)]

    def evaluated(self) -> list[int]:
        """The steps that were evaluated."""
        return [event.step for event in self.seen(EvaluationDone)]


def settle_small(plan: Plan, prepared: Any, *, registry: Any, environment: Mapping[str, Any]) -> Lock:
    """The lock of a small plan."""
    assert plan.duration is not None
    steps = plan.duration.steps(tokens_per_step=16, steps_per_epoch=4)
    every = plan.durations["checkpoint.every"].steps(tokens_per_step=16, steps_per_epoch=4)
    return Lock(
        name=plan.name,
        config_hash=plan.config_hash,
        seed=plan.seed,
        exactness=plan.exactness,
        threads=plan.threads,
        components={section: choice.locked() for section, choice in plan.choices.items()},
        seeds=dict(plan.seeds),
        steps=steps,
        batch_rows=2,
        seq_len=plan.seq_len,
        vocab_size=VOCAB,
        log_every=1,
        evaluate_every=every,
        save_every=every,
        durations={},
        epochs=steps / 4,
        tokens=steps * 16,
        data={"fingerprint": prepared.fingerprint, "manifest_digest": prepared.manifest_digest},
        environment=dict(environment),
        config=json.loads(json.dumps(plan.config)),
    )

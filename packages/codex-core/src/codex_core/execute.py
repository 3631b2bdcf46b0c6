"""A run from its plan, or a further attempt from its lock.

Decisions: everything that can fail before a step fails before the lock is written, and then the run's folder goes
again, so that a corrected configuration finds its place free; from the lock on the folder stays, whatever happens.
A resume reads `lock.json` and never the configuration; a plan given with it may change what is resumable.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from codex_core import journal, plan
from codex_core.canonical import canonical_json, readable_json
from codex_core.checkpoints import CheckpointStore, Origin, ignore
from codex_core.clock import Now, utc_now
from codex_core.contracts import Emit, Evaluate, LanguageModel, Loader, PreparedData
from codex_core.errors import ArtefactError, RollBack
from codex_core.events import EvaluationDone, Event, ReproductionStarted, RunResumed, Warned
from codex_core.files import OS_FILES, Files
from codex_core.journal import Journal
from codex_core.lock import Lock, Plan
from codex_core.places import Places
from codex_core.planning import assets, yamlout
from codex_core.records import FitResult, MetricValue
from codex_core.running import keeping, leaving_out, project_journal, resuming
from codex_core.running.attempt import Attempt
from codex_core.running.checkpoint_files import Checkpoint, verify
from codex_core.running.comparing import Comparison
from codex_core.running.finding import require_same_tokenizer
from codex_core.running.locked import built, loader
from codex_core.running.processors import num_cpus
from codex_core.running.reference import Part
from codex_core.running.resuming import Changes
from codex_core.running.room import notice_room
from codex_core.running.signals import Stop
from codex_core.runs import REPRODUCES, RunDir, unwritable
from codex_core.scrub import Scrubber

if TYPE_CHECKING:
    from codex_core.registry import Registry

EvaluateSplit = Callable[..., Mapping[str, MetricValue]]
"""`evaluation.runner.evaluate_split(model, prepared, split, *, metrics, max_documents, on_event)`."""

Settle = Callable[..., Lock]
"""`plan.settle(plan, prepared, *, registry, environment)`."""


@attrs.frozen(kw_only=True)
class Surroundings:
    """What a run is given by whoever starts it.

    `evaluate` scores a split, `on_event` shows what happens, `stop` says when to stop, `environment` is what
    `environment.collect` gave (machine, versions, command line), `scrub` takes secrets out, `environ` is what paths
    may refer to.
    """

    registry: Registry
    places: Places
    evaluate: EvaluateSplit
    on_event: Emit = ignore
    stop: Stop = attrs.field(factory=Stop)
    environment: Mapping[str, Any] = attrs.field(factory=dict)
    scrub: Scrubber = attrs.field(factory=Scrubber)
    environ: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    settle: Settle = plan.settle
    now: Now = utc_now
    files: Files = OS_FILES


@attrs.frozen(kw_only=True)
class RunResult:
    """How a run stands after an attempt; `checkpoint` is its newest one, `metrics` the last numbers of training."""

    run: RunDir
    run_id: str
    attempt: int
    status: str
    reason: str
    exit_code: int
    steps: int
    tokens: int
    metrics: Mapping[str, float]
    checkpoint: Path | None


@attrs.frozen(kw_only=True)
class _Work:
    """One attempt as it is about to begin."""

    run: RunDir
    lock: Lock
    prepared: PreparedData
    around: Surroundings
    parent: Checkpoint | None = None
    resumed: RunResumed | None = None
    history: journal.History = attrs.field(factory=journal.History)
    noticed: list[Event] = attrs.field(factory=list)


def run(
    asked: Plan,
    *,
    around: Surroundings,
    prepare: Callable[[Plan], PreparedData],
    run_dir: Path | None = None,
    tags: Mapping[str, str] | None = None,
) -> RunResult:
    """Start a run: claim a folder, prepare the data, settle and write the lock, train.

    What stands in the way before the lock is written is raised and leaves no folder behind.
    """
    with _noting_failures(around):
        plan.require_usable(asked)
        folder = RunDir.create(
            around.places, name=asked.name, run_dir=run_dir, tags=tags, now=around.now, files=around.files
        )
        with folder.claim():
            with _discarding(folder):
                prepared = prepare(asked)
                lock = _settled(asked, prepared, around)
                noticed = resuming.require_threads(lock, around.environment, cpus=num_cpus())
                noticed += notice_room(folder.path, lock)
                work = _Work(run=folder, lock=lock, prepared=prepared, around=around, noticed=noticed)
                opened = _open_books(work)
            return _until_done(work, opened)


def resume(
    folder: RunDir,
    *,
    around: Surroundings,
    open_data: Callable[[Lock], PreparedData],
    checkpoint: Path | None = None,
    asked: Plan | None = None,
    without: Collection[str] = (),
) -> RunResult:
    """Continue a run in a new attempt, from `checkpoint` or the newest that verifies.

    `open_data` opens the prepared set that a lock names. `asked` is the configuration as it is wanted now, `without`
    are ids of documents of which nothing is learned from here on.
    """
    with _noting_failures(around), folder.claim() as claim:
        folder.tidy()
        before = folder.lock()
        resuming.require_plugins(before, around.registry.freeze(), asked=asked)
        prepared = open_data(before)
        _require_same_data(prepared, before)
        assets.require_same(before, environ=around.environ, roots=_roots(around))
        lock, changes = _settled_again(before, asked, prepared, around)
        history = journal.read(folder.journal)
        noticed = resuming.warnings(folder, claim.stale, changes, history)
        noticed += resuming.require_threads(lock, around.environment, cpus=num_cpus())
        parent = resuming.choose(folder, before, checkpoint, emit=noticed.append)
        if parent is not None:
            require_same_tokenizer(parent, prepared.tokenizer_path)
        resuming.require_work(folder, lock, parent)
        lock, changes = leaving_out.leave_out(lock, changes, without, prepared=prepared, parent=parent)
        resumed = resuming.resumed(parent, lock, changes)
        work = _Work(
            run=folder,
            lock=lock,
            prepared=prepared,
            around=around,
            parent=parent,
            resumed=resumed,
            history=history,
            noticed=noticed,
        )
        return _until_done(work, _open_books(work))


def reexecute(
    parts: Sequence[Part],
    *,
    around: Surroundings,
    prepared: PreparedData,
    started: ReproductionStarted,
    comparison: Comparison,
    run_dir: Path | None = None,
) -> RunResult:
    """Execute what the locks of a run say in a new run, part after part, until `comparison` is over.

    Writers are left out: what they wrote for the first run stays as it is.
    """
    with _noting_failures(around):
        name = f"{parts[-1].lock.name}-again"
        tags = {REPRODUCES: started.run_id}
        folder = RunDir.create(
            around.places, name=name, run_dir=run_dir, tags=tags, now=around.now, files=around.files
        )
        with folder.claim(), _discarding_without_lock(folder):
            return _part_after_part(folder, parts, around, prepared, started, comparison)


def _part_after_part(
    folder: RunDir,
    parts: Sequence[Part],
    around: Surroundings,
    prepared: PreparedData,
    started: ReproductionStarted,
    comparison: Comparison,
) -> RunResult:
    watched = attrs.evolve(around, on_event=comparison.watching(around.on_event))
    parent: Checkpoint | None = None
    for part in parts:
        lock = _here(part.lock, around)
        resuming.require_threads(lock, around.environment, cpus=num_cpus())
        assets.require_same(lock, environ=around.environ, roots=_roots(around))
        history = journal.read(folder.journal)
        resumed = None if not history.attempt else resuming.resumed(parent, lock, Changes({}, {}))
        work = _Work(
            run=folder,
            lock=lock,
            prepared=prepared,
            around=watched,
            parent=parent,
            resumed=resumed,
            history=history,
            noticed=[started],
        )
        around.stop.when = comparison.stopping(part.until)
        try:
            result = _attempt(work, _open_books(work))
        finally:
            around.stop.when = None
        if comparison.is_over or around.stop.number is not None or result.checkpoint is None:
            break
        parent = verify(result.checkpoint)
    return result


def _here(lock: Lock, around: Surroundings) -> Lock:
    """A lock as it is executed again: on this machine, without writers."""
    held = {name: one for name, one in lock.components.items() if not name.startswith("writers")}
    values = attrs.evolve(
        lock, components=held, environment=dict(around.environment), plugins=around.registry.freeze()
    )
    return Lock.from_dict(json.loads(canonical_json(around.scrub(values.as_dict()))))


def _until_done(work: _Work, opened: Journal) -> RunResult:
    """Attempts until one ends otherwise than by going back; each goes on without the documents that stopped it."""
    while True:
        try:
            return _attempt(work, opened)
        except RollBack as back:
            work = _rolled_back(work, back)
            opened = _open_books(work)


def _rolled_back(work: _Work, back: RollBack) -> _Work:
    """The attempt that follows one that went back: from the newest checkpoint, without the documents of its rows."""
    run, history, noticed = work.run, journal.read(work.run.journal), list[Event]()
    leaving_out.require_another_time(history, work.lock, back)
    parent = resuming.choose(run, work.lock, None, emit=noticed.append)
    documents = leaving_out.documents_of(back, work.lock, prepared=work.prepared)
    lock, changes = leaving_out.leave_out(
        work.lock, Changes({}, {}), documents, prepared=work.prepared, parent=parent
    )
    resumed = resuming.resumed(parent, lock, changes)
    return attrs.evolve(work, lock=lock, parent=parent, resumed=resumed, history=history, noticed=noticed)


def _attempt(work: _Work, opened: Journal) -> RunResult:
    """Train from where the work stands, recorded from the first event to the last."""
    lock, around = work.lock, work.around
    load = loader(lock, around.registry, environ=around.environ, roots=_roots(around))
    with Attempt(
        run=work.run,
        lock=lock,
        registry=around.registry,
        places=around.places,
        writers=built(load, lock, "writers"),
        display=around.on_event,
        journal=opened,
        resumed=work.resumed,
        history=work.history,
        noticed=work.noticed,
        scrub=around.scrub,
        now=around.now,
        files=around.files,
    ) as attempt:
        store = _store(work, attempt, load)
        store.clear()
        chosen = load("trainer")
        trainer = chosen.target(chosen.options)
        rows = leaving_out.rows_of(work.prepared, lock)
        evaluate = _evaluation(work, load, attempt.emit)
        with around.stop.deferred(), store.settled():
            fit = trainer.fit(
                lock,
                rows,
                load=load,
                emit=attempt.emit,
                checkpoints=store,
                evaluate=evaluate,
                should_stop=around.stop,
            )
        attempt.finish(fit, signal_number=around.stop.number, asked=around.stop.reason)
    return _result(work, attempt, fit, store)


def _settled(asked: Plan, prepared: PreparedData, around: Surroundings) -> Lock:
    """The lock of a plan, without secrets, exactly as `lock.json` will give it back."""
    lock = around.settle(asked, prepared, registry=around.registry, environment=around.environment)
    return Lock.from_dict(json.loads(canonical_json(around.scrub(lock.as_dict()))))


def _settled_again(
    before: Lock, asked: Plan | None, prepared: PreparedData, around: Surroundings
) -> tuple[Lock, Changes]:
    """The lock of a further attempt and what differs: the one before, unless something was asked to change."""
    if asked is None:
        changed = resuming.plugin_drift(before, around.registry.freeze())
        return before, Changes({}, resuming.drift(before, around.environment) | changed)
    after = leaving_out.carried_over(before, _settled(asked, prepared, around))
    registry = around.registry
    options = registry.options_class(registry.find("trainers", before.components["trainer"]["id"]))
    defaults = [path for path, origin in asked.origins.items() if origin == "default"]
    changes = resuming.compare(
        before, after, resumable=resuming.resumable_options(options), defaults=defaults
    )
    return (after if changes.asked else before), changes


def _roots(around: Surroundings) -> tuple[Path, ...]:
    """Where relative paths of a lock may start: the working directory, and the project."""
    return (Path(), around.places.root)


def _require_same_data(prepared: PreparedData, lock: Lock) -> None:
    wanted = lock.data.get("manifest_digest")
    if prepared.manifest_digest != wanted:
        raise ArtefactError(
            code="RUN-012",
            what="the prepared data is not what the run was started with",
            where=str(prepared.path),
            why=f"the lock names {wanted}, this is {prepared.manifest_digest}",
            fix="prepare the same sources again: codex data prepare FILE",
        )


def _open_books(work: _Work) -> Journal:
    """Write what the attempt stands on and open its journal, the lock last: nothing of this may fail later.

    An environment that cannot be written is only a warning.
    """
    run, around, attempt = work.run, work.around, work.history.attempt + 1
    prepared, environment = work.prepared, {**work.around.environment, "seed": work.lock.seed}
    data = {
        "fingerprint": prepared.fingerprint,
        "manifest_digest": prepared.manifest_digest,
        "manifest": dict(prepared.manifest),
    }
    write = partial(run.replace, attempt=attempt, files=around.files)
    try:
        write("config.yaml", yamlout.write(work.lock.config))
        write("data.json", readable_json(around.scrub(data)))
        try:
            write("environment.json", readable_json(around.scrub(environment)))
        except (OSError, TypeError, ValueError) as error:
            text = f"environment.json could not be written: {error}"
            work.noticed.append(Warned(code="RUN-016", text=text))
        opened = Journal.start(run.journal, after=work.history, now=around.now, files=around.files)
        write("lock.json", readable_json(work.lock.as_dict()))
    except OSError as error:
        raise unwritable(run.path, error) from error
    return opened


def _store(work: _Work, attempt: Attempt, load: Loader) -> CheckpointStore:
    """The checkpoints of an attempt, with everything that their manifests say."""
    lock, around, record = work.lock, work.around, work.run.record()
    origin = Origin(
        run={"id": record["id"], "name": record["name"], "attempt": attempt.number},
        config_hash=lock.config_hash,
        lock_digest=lock.digest(),
        components={
            name: dict(lock.components[name])
            for name in ("model", "tokenizer", "trainer")
            if name in lock.components
        },
        data={name: lock.data.get(name) for name in ("fingerprint", "manifest_digest")},
        environment=around.scrub(around.environment),
        layout={"processes": 1, "threads": lock.threads, "exactness": lock.exactness},
    )
    return CheckpointStore(
        root=work.run.checkpoints,
        origin=origin,
        tokenizer_path=work.prepared.tokenizer_path,
        every=lock.save_every,
        last=lock.steps,
        rule=keeping.rule_of(lock, metrics=[metric for _, metric in built(load, lock, "evaluation.metrics")]),
        asynchronous=bool(lock.config.get("checkpoint", {}).get("asynchronous", False)),
        parent=work.parent,
        emit=attempt.emit,
        metrics=attempt.recorder.rows.latest,
        before_save=attempt.recorder.journal.sync,
        files=around.files,
        now=around.now,
    )


def _evaluation(work: _Work, load: Loader, emit: Emit) -> Evaluate:
    """The function that trainers call at due steps: it scores the live model and records the numbers."""
    settings = work.lock.config.get("evaluation", {})

    def evaluate(model: LanguageModel, step: int) -> Mapping[str, float]:
        split = settings.get("split", "validation")
        values = work.around.evaluate(
            model,
            work.prepared,
            split,
            metrics=[metric for _, metric in built(load, work.lock, "evaluation.metrics")],
            max_documents=settings.get("max_documents"),
            on_event=emit,
        )
        numbers = {name: value.value for name, value in values.items()}
        emit(EvaluationDone(step=step, split=split, metrics=numbers))
        return numbers

    return evaluate


def _result(work: _Work, attempt: Attempt, fit: FitResult, store: CheckpointStore) -> RunResult:
    verdict = attempt.verdict
    assert verdict is not None, "an attempt that was left without an exception has a verdict"
    return RunResult(
        run=work.run,
        run_id=work.run.record()["id"],
        attempt=attempt.number,
        status=verdict.status,
        reason=verdict.reason,
        exit_code=verdict.exit_code,
        steps=fit.steps,
        tokens=fit.tokens,
        metrics=dict(fit.metrics),
        checkpoint=None if store.parent is None else store.parent.path,
    )


@contextmanager
def _discarding(folder: RunDir) -> Iterator[None]:
    """Remove a folder that we made when nothing came of it."""
    try:
        yield
    except BaseException:  # an interrupt before the lock leaves no folder either; raised again
        folder.discard()
        raise


@contextmanager
def _discarding_without_lock(folder: RunDir) -> Iterator[None]:
    """Remove a folder that we made when nothing came of it before its lock was written."""
    try:
        yield
    except BaseException:  # an interrupt before the lock leaves no folder either; raised again
        if not (folder.path / "lock.json").exists():
            folder.discard()
        raise


@contextmanager
def _noting_failures(around: Surroundings) -> Iterator[None]:
    """One row in the project's journal for what went wrong."""
    try:
        yield
    except BaseException as error:  # signals are failures worth a row, too; raised again
        project_journal.note_failure(around.places, error, command="train", now=around.now)
        raise

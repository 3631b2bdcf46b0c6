"""A run executed again from its locks: what is compared, what stands in the way, and what is found."""

from __future__ import annotations

import json

import attrs
import pytest

from codex_core import execute
from codex_core import journal as journals
from codex_core.canonical import readable_json
from codex_core.digests import step_digest
from codex_core.errors import CodexError
from codex_core.events import EvaluationDone, ProgressMade, ReproductionStarted, StepDigest, StepDone
from codex_core.running import reference, reproducing, resuming
from codex_core.running.comparing import Comparison
from codex_core.runs import all_runs, newest_unfinished
from tests.support.small_runs import fail_at, go_on, start, the_run
from tests.support.small_training import CountingTrainer, SmallWork

TENSORS = {"head": "ab" * 32, "layers.0": "cd" * 32}


class DigestingTrainer(CountingTrainer):
    """The counting trainer, which also tells a digest of each step; `nudge` adds to the loss of one step."""

    nudge: tuple[int, float] = (0, 0.0)
    digests = True

    def fit(self, lock, data, *, emit, **given):
        def telling(event):
            if isinstance(event, StepDone):
                step, by = self.nudge
                if event.step == step:
                    event = attrs.evolve(event, metrics={**event.metrics, "loss": event.metrics["loss"] + by})
                if self.digests:
                    emit(digest_of(event))
            emit(event)

        return super().fit(lock, data, emit=telling, **given)


def digest_of(event):
    loss = event.metrics["loss"]
    return step_digest(step=event.step, loss=loss, grad_norm=loss / 3, tensors=TENSORS)


class Project(SmallWork):
    """A small work whose trainer tells digests."""

    nudge = (0, 0.0)
    digests = True

    def use(self):
        self.registry.targets["small/trainer"] = self.trainer
        return self

    def trainer(self, options):
        made = DigestingTrainer(options, self.on_step)
        made.nudge, made.digests = self.nudge, self.digests
        return made


@pytest.fixture
def work(tmp_path):
    return Project(tmp_path).use()


def compared(run, **how):
    told = reference.read(run, reproducing.require_untouched(run))
    return Comparison(reference=told, total=how.pop("total", told.last), **how)


def repeat(work, comparison, **around):
    started = ReproductionStarted(run_id="first", lock_digest="sha256:0")
    return execute.reexecute(
        comparison.reference.parts,
        around=work.around(**around),
        prepared=work.prepare(None),
        started=started,
        comparison=comparison,
    )


def kinds(run, kind):
    return [record for record in journals.read(run.journal).records if record.kind == kind]


def test_untouched_run_is_identical_in_every_step(work):
    """All steps are compared; the repetition is a run of its own that says whose it is."""
    start(work, steps=8)
    run = the_run(work)
    comparison = compared(run)

    result = repeat(work, comparison)

    assert comparison.difference is None
    assert comparison.compared == set(range(1, 9)) and comparison.rows == 12
    assert (result.status, result.steps) == ("finished", 8)
    assert result.run.path != run.path and result.run.record()["tags"] == {"reproduces": "first"}
    (started,) = kinds(result.run, "reproduction_started")
    assert started.fields["run_id"] == "first"


def test_run_of_several_attempts_is_repeated_as_one(work):
    """Where nothing changed between attempts there is one part, and the newest record of each step counts."""
    fail_at(work, 5, ValueError("broken"))
    with pytest.raises(ValueError, match="broken"):
        start(work)
    run = the_run(work)
    go_on(work, run)
    comparison = compared(run)

    repeat(work, comparison)

    assert len(comparison.reference.parts) == 1
    assert comparison.difference is None and len(comparison.compared) == 6


def test_settings_that_changed_between_attempts_are_repeated_part_by_part(work):
    """A run that was given more steps is repeated with the first lock up to there, then with the second."""
    start(work, steps=4)
    run = the_run(work)
    go_on(work, run, asked=work.plan(steps=8))
    comparison = compared(run)

    result = repeat(work, comparison)

    assert [(part.lock.steps, part.until) for part in comparison.reference.parts] == [(4, 4), (8, 0)]
    assert comparison.difference is None and len(comparison.compared) == 8
    assert [record.fields["steps"] for record in kinds(result.run, "run_started")] == [4, 8]


def test_first_difference_ends_the_repetition(work):
    """The step is named, with what differs first and both values; nothing after it is computed."""
    work.nudge = (5, 0.25)
    start(work, steps=8)
    work.nudge = (0, 0.0)
    comparison = compared(the_run(work))

    result = repeat(work, comparison)

    difference = comparison.difference
    assert (difference.step, difference.what) == (5, "loss")
    assert float.fromhex(difference.there) - float.fromhex(difference.here) == pytest.approx(0.25)
    assert comparison.compared == {1, 2, 3, 4}
    assert (result.status, result.reason, result.steps) == ("stopped", "step 5 differs", 5)


def test_trainer_without_digests_is_compared_by_its_rows(work):
    """What a third-party trainer logs is compared; a difference there is found, too."""
    work.digests = False
    start(work)
    comparison = compared(the_run(work))
    repeat(work, comparison)
    assert comparison.difference is None and comparison.compared == set(range(1, 7))

    work.nudge = (3, 1.0)
    differing = compared(the_runs_first(work))
    repeat(work, differing)

    assert (differing.difference.step, differing.difference.what) == (3, "logged loss")


def the_runs_first(work):
    """The run that is no repetition."""
    return next(run for run in all_runs(work.places) if not run.record()["tags"])


def test_fewer_steps_can_be_compared(work):
    """The repetition ends where it was asked to."""
    start(work)
    comparison = compared(the_run(work), total=3)

    result = repeat(work, comparison)

    assert comparison.compared == {1, 2, 3} and (result.status, result.steps) == ("stopped", 3)


def test_repetition_is_nothing_that_a_resume_would_find(work):
    """`--resume auto` never continues a repetition, although it has the configuration's hash."""
    start(work)
    run = the_run(work)
    result = repeat(work, compared(run, total=2))
    result.run.update({"status": "failed"})

    with pytest.raises(CodexError, match="no unfinished run"):
        newest_unfinished(run.record()["config_hash"], work.places)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("threads",), 7),
        (("seeds", "data.order"), 99),
        (("environment", "packages", "codex-core"), "0.9.9"),
        (("data", "manifest_digest"), "sha256:other"),
        (("components", "model", "version"), "3.0.0"),
    ],
)
def test_tampered_lock_is_refused_with_the_entry(work, path, value):
    """Exit 7: the lock is bound by the journal, entry by entry."""
    start(work)
    run = the_run(work)
    lock = json.loads((run.path / "lock.json").read_text())
    holder = lock
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    (run.path / "lock.json").write_text(readable_json(lock))

    with pytest.raises(CodexError) as raised:
        reproducing.require_untouched(run)

    assert (raised.value.code, int(raised.value.exit_code)) == ("RUN-021", 7)
    assert ".".join(path) in raised.value.where and f"changed: {'.'.join(path)};" in raised.value.why


def test_altered_journal_is_refused(work):
    """Exit 7, before anything is executed."""
    start(work)
    run = the_run(work)
    (path,) = run.journal.iterdir()
    path.write_bytes(path.read_bytes().replace(b'"step":3,', b'"step":4,', 1))

    with pytest.raises(CodexError) as raised:
        reproducing.require_untouched(run)

    assert (raised.value.code, int(raised.value.exit_code)) == ("JRN-001", 7)


ENVIRONMENT = {
    "python": "3.11.7",
    "platform": "Linux-1",
    "packages": {"torch": "2.13.0", "numpy": "2.4.6"},
    "hardware": {"cpu": "a processor", "cpus": 2, "isa": "avx2"},
    "variables": {"OMP_NUM_THREADS": "1"},
}


def changed(**parts):
    """The environment with some parts changed; what is in a part and is not named stays."""
    both = {name: (held, parts.get(name, held)) for name, held in ENVIRONMENT.items()}
    return {name: {**old, **new} if isinstance(old, dict) else new for name, (old, new) in both.items()}


@pytest.mark.parametrize(
    ("environment", "entry"),
    [
        (changed(packages={"torch": "2.12.1"}), "environment.packages.torch"),
        (changed(python="3.12.0"), "environment.python"),
        (changed(hardware={"cpu": "another"}), "environment.hardware.cpu"),
        (changed(hardware={"isa": "avx2 avx512f"}), "environment.hardware.isa"),
        (changed(variables={"OMP_DYNAMIC": "true"}), "environment.variables.OMP_DYNAMIC"),
    ],
)
def test_decisive_entry_that_differs_is_named(work, environment, entry):
    """Exit 6 with the entry; allowed by name it is recorded instead."""
    start(work)
    run = the_run(work)
    lock = attrs.evolve(run.lock(), environment=ENVIRONMENT)

    found = reproducing.differences(lock, environment=environment, plugins=(), cpus=2)

    assert list(found) == [entry]
    with pytest.raises(CodexError) as raised:
        reproducing.require_equal(found, allowed=(), run=run)
    assert (raised.value.code, int(raised.value.exit_code)) == ("RUN-024", 6)
    assert entry in raised.value.what
    assert reproducing.require_equal(found, allowed=[entry], run=run) == found


def test_idle_entries_may_differ(work):
    """The kernel, the memory, the number of processors and where the command was given change no number."""
    start(work)
    lock = attrs.evolve(the_run(work).lock(), environment=ENVIRONMENT)
    other = {
        **changed(hardware={"cpus": 64}, variables={"OMP_NUM_THREADS": "2"}),
        "platform": "Linux-2",
        "git": None,
    }

    assert reproducing.differences(lock, environment=other, plugins=(), cpus=64) == {}


def test_more_threads_than_processors_and_other_plugins_are_named(work):
    """The lock's thread count must be there, and the plugins of model and trainer must be those of the lock."""
    start(work)
    lock = attrs.evolve(
        the_run(work).lock(),
        threads=8,
        plugins=({"dist": "small", "version": "1.0.0", "components": {"models/model": "sha256:1"}},),
    )

    found = reproducing.differences(lock, environment=lock.environment, plugins=(), cpus=2)

    assert found == {"threads": (8, 2), "plugins.small/model": ("1.0.0 (sha256:1)", "not installed")}


def test_allowing_what_does_not_differ_is_a_mistake(work):
    """A misspelt entry is told, with those that do differ."""
    start(work)

    with pytest.raises(CodexError) as raised:
        reproducing.require_equal({"threads": (8, 2)}, allowed=["thread"], run=the_run(work))

    assert raised.value.code == "RUN-025" and "threads" in raised.value.why


def test_run_without_a_step_cannot_be_repeated(work):
    """There is nothing to compare."""
    fail_at(work, 1, ValueError("broken"))
    with pytest.raises(ValueError, match="broken"):
        start(work)

    with pytest.raises(CodexError, match="recorded no step"):
        compared(the_run(work))


def test_seeded_runs_are_compared_loosely():
    """L0: a loss within five parts of a hundred agrees and its distance is kept; one beyond differs."""
    told = attrs.evolve(empty(), digests={1: fields(loss=2.0), 2: fields(loss=2.0)})
    comparison = Comparison(reference=told, total=2, loosely=True)
    comparison.take(step_digest(step=1, loss=2.05, grad_norm=0.5, tensors={"w": "0" * 64}))
    assert comparison.difference is None and comparison.largest == pytest.approx(0.025)

    comparison.take(step_digest(step=2, loss=2.5, grad_norm=0.5, tensors={"w": "1" * 64}))

    assert (comparison.difference.step, comparison.difference.what) == (2, "loss")


def empty():
    return reference.Reference(parts=(), digests={}, rows={})


def fields(*, loss=1.5, grad_norm=0.5, tensors=None):
    return step_digest(step=0, loss=loss, grad_norm=grad_norm, tensors=tensors or TENSORS).fields()


def test_what_was_computed_first_is_named():
    """Loss before norm before parameters; of parameters the tensors whose digests differ."""
    told = attrs.evolve(empty(), digests={step: fields() for step in (1, 2, 3, 4)})

    def take(step, **how):
        comparison = Comparison(reference=told, total=4)
        given = {"loss": 1.5, "grad_norm": 0.5, "tensors": TENSORS, **how}
        comparison.take(step_digest(step=step, **given))
        return comparison.difference

    assert take(1) is None
    assert take(2, loss=1.25, grad_norm=0.75).text() == (
        "the loss differs first: 1.5 (0x1.8000000000000p+0) in the run, 1.25 (0x1.4000000000000p+0) here"
    )
    assert take(3, grad_norm=0.75).what == "gradient norm"
    assert take(4, tensors={**TENSORS, "head": "00" * 32}).text() == (
        "loss and gradient norm are equal; 1 of 2 tensors differ: head"
    )


def test_evaluations_are_compared_too():
    """A metric of a split that differs is named with the split."""
    told = attrs.evolve(empty(), rows={(2, "validation"): {"step": 2, "split": "validation", "nll": 1.0}})
    comparison = Comparison(reference=told, total=2)
    comparison.take(ProgressMade(phase="train", done=2))

    comparison.take(EvaluationDone(step=2, split="validation", metrics={"nll": 1.5}))

    assert (comparison.difference.what, comparison.step) == ("nll of validation", 2)


def test_digests_keep_every_bit():
    """Loss and norm are hex floats; a not-a-number stays one; tensors are told by eight digits."""
    event = step_digest(step=3, loss=0.1, grad_norm=float("nan"), tensors=TENSORS)

    assert isinstance(event, StepDigest)
    assert float.fromhex(event.loss) == 0.1 and event.grad_norm == "nan"
    assert event.tensors == {"head": "abababab", "layers.0": "cdcdcdcd"}
    other = step_digest(step=3, loss=0.1, grad_norm=None, tensors={**TENSORS, "head": "ab" * 31 + "ac"})
    assert other.parameters != event.parameters and other.tensors == event.tensors


@pytest.mark.parametrize("variables", [{"OMP_THREAD_LIMIT": "1"}, {"OMP_DYNAMIC": "TRUE"}])
def test_thread_count_that_cannot_hold_is_refused(work, variables):
    """Where OpenMP may take fewer threads than the lock says, no bits can be promised; L0 promises none."""
    start(work)
    lock = attrs.evolve(the_run(work).lock(), threads=2)

    with pytest.raises(CodexError) as raised:
        resuming.require_threads(lock, {"variables": variables}, cpus=2)

    assert (raised.value.code, int(raised.value.exit_code)) == ("RUN-027", 6)
    seeded = attrs.evolve(lock, exactness="L0")
    assert resuming.require_threads(seeded, {"variables": variables}, cpus=2) == []
    (told,) = resuming.require_threads(lock, {}, cpus=1)
    assert told.code == "RUN-030"

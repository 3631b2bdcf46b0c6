"""The suites notice broken promises: each is given an implementation with one defect and must name it."""

from __future__ import annotations

import json
import secrets

import attrs
import pytest

from codex_core.contracts import Loaded
from codex_core.errors import ArtefactError
from codex_core.records import Decision, MetricValue, plain_text
from codex_core.testing import (
    check_dataset,
    check_metric,
    check_policy,
    check_tokenizer,
    check_trainer,
    check_writer,
)
from codex_core.testing.claims import refuses
from codex_core.testing.models import check_generation, check_scoring
from codex_core.testing.shell import SmallRows, small_lock
from tests.support import fakes


def broken(cls, **members):
    """A class like `cls` in which some members are replaced."""
    return type(f"Broken{cls.__name__}", (cls,), {"__slots__": (), **members})


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"decode": lambda self, ids: "x"}, "lossless"),
        ({"vocab_size": 5}, "outside the vocabulary"),
        ({"encode": lambda self, text, **_: [0, *map(ord, text)]}, "special ids"),
        ({"fingerprint": lambda self: f"sha256:{id(self)}"}, "two fingerprints"),
        ({"special_ids": {"bos": 0}}, "bos and eos"),
        ({"load": classmethod(lambda cls, folder: cls())}, "empty folder"),
        ({"encode_with_offsets": lambda self, text: (self.encode(text), [])}, "number of offsets"),
    ],
)
def test_tokenizer_suite_notices(members, says, tmp_path):
    """A tokenizer with one defect fails with a sentence that names it."""
    with pytest.raises(AssertionError, match=says):
        check_tokenizer(broken(fakes.CodePointTokenizer, **members), fakes.NoOptions(), folder=tmp_path)


def with_source(name):
    """A `records` method that gives one row from a file of this name."""
    return lambda self: iter([plain_text("x", id="1", source=(name, 1))])


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"identity": lambda self: {"path": "/anywhere"}}, "absolute path"),
        ({"identity": lambda self: {"a": [{"share": 0.5}]}}, "float"),
        ({"records": lambda self: iter(())}, "no row"),
        ({"records": with_source("/etc/passwd")}, "no relative path"),
        ({"records": lambda self: iter([plain_text("x", id="1", source=("a", 1))] * 2)}, "repeats the id"),
        (
            {"records": lambda self: iter([plain_text(secrets.token_hex(), id="1", source=("a", 1))])},
            "read again",
        ),
    ],
)
def test_dataset_suite_notices(members, says):
    """A dataset with one defect fails with a sentence that names it."""
    with pytest.raises(AssertionError, match=says):
        check_dataset(broken(fakes.TextsDataset, **members), fakes.TextsOptions())


def value_of(number):
    """A metric value like the fake's."""
    return MetricValue(name="texts", value=number, unit="texts", count=1, signature="texts")


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"compute": lambda self: value_of(0.0)}, "must raise InputError, but nothing"),
        ({"compute": lambda self: value_of(1 / self.count)}, "ZeroDivisionError"),
        ({"update": lambda self, scored: setattr(self, "count", ord(scored.id))}, "order of texts"),
        ({"needs": "luck"}, "needs is 'luck'"),
        ({"signature": lambda self: "a\nb"}, "one line"),
    ],
)
def test_metric_suite_notices(members, says):
    """A metric with one defect fails with a sentence that names it."""
    with pytest.raises(AssertionError, match=says):
        check_metric(broken(fakes.CountingMetric, **members), fakes.NoOptions())


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"flush": lambda self: 1}, "never given"),
        ({"flush": lambda self: 0}, "acknowledge the newest"),
        ({"probe": lambda self: "no server"}, "no server"),
        ({"write": lambda self, row, sequence: row.clear()}, "leave its rows"),
        ({"capabilities": ["durable"]}, "frozenset"),
    ],
)
def test_writer_suite_notices(members, says, tmp_path):
    """A writer with one defect fails with a sentence that names it."""
    with pytest.raises(AssertionError, match=says):
        check_writer(broken(fakes.ListWriter, **members), fakes.NoOptions(), folder=tmp_path)


def test_writer_suite_reads_back(tmp_path):
    """Rows that cannot be read back are noticed."""
    with pytest.raises(AssertionError, match="read back differ"):
        check_writer(fakes.ListWriter, fakes.NoOptions(), folder=tmp_path, read=lambda folder: [])


class HastyStream:
    """A stream that inspects each piece alone."""

    def __init__(self, policy, stage):
        self.policy, self.stage = policy, stage

    def push(self, text):
        return self.policy.inspect(text, self.stage).text

    def close(self):
        return "", ()


@pytest.mark.parametrize(
    ("members", "says"),
    [
        (
            {"stream": lambda self, stage: HastyStream(self, stage)},
            "differs from the whole text|chunks change",
        ),
        ({"inspect": lambda self, text, stage: Decision(allowed=True, text=text)}, "without a match"),
        ({"inspect": lambda self, text, stage: Decision(allowed=False, text="")}, "unchanged"),
        ({"fingerprint": lambda self: "v1"}, "sha256"),
    ],
)
def test_policy_suite_notices(members, says):
    """A policy with one defect fails with a sentence that names it."""
    with pytest.raises(AssertionError, match=says):
        check_policy(broken(fakes.WordPolicy, **members), fakes.WordOptions(), forbidden=["hunter2"])


def sees_ahead(self, rows):
    """Scores that depend on the end of the row."""
    return [[-float(row[-1])] * (len(row) - 1) for row in rows]


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"probability": lambda self, last, token: 0.5}, "not to one"),
        ({"loglikelihood": lambda self, rows: [[-1.0] * len(row) for row in rows]}, "one number less"),
        ({"loglikelihood": lambda self, rows: [[1.0] * (len(row) - 1) for row in rows]}, "at most 0"),
        ({"loglikelihood": sees_ahead}, "later tokens"),
        (
            {"loglikelihood": lambda self, rows: [[-float(len(rows))] * (len(row) - 1) for row in rows]},
            "beside other rows",
        ),
    ],
)
def test_scoring_suite_notices(members, says):
    """A model with one defect in scoring fails with a sentence that names it."""
    model = broken(fakes.GuessingModel, **members)(vocab_size=8)
    with pytest.raises(AssertionError, match=says):
        check_scoring(model)


def test_scoring_suite_notices_ignored_limits():
    """A model that scores rows beyond its own context is noticed."""
    model = broken(
        fakes.GuessingModel,
        loglikelihood=lambda self, rows: fakes.GuessingModel(vocab_size=8).loglikelihood(rows),
    )
    with pytest.raises(AssertionError, match="beyond the context"):
        check_scoring(model(vocab_size=8, context_length=6))


def test_generation_suite_notices():
    """Models that ignore the seed, the length or stop ids are noticed."""

    def ignoring(**fixed):
        def generate(self, prompts, settings):
            return fakes.GuessingModel(vocab_size=8).generate(prompts, attrs.evolve(settings, **fixed))

        return broken(fakes.GuessingModel, generate=generate)(vocab_size=8)

    for fixed, says in (
        ({"max_new_tokens": 3}, "max_new_tokens"),
        ({"temperature": 1.0, "top_k": 0}, "greedy"),
        ({"top_k": 0}, "top_k 1"),
        ({"stop_ids": ()}, "stop id"),
    ):
        with pytest.raises(AssertionError, match=says):
            check_generation(ignoring(**fixed))


def trained(trainer, tmp_path, **given):
    """Run the trainer's suite over the successor model."""
    data = SmallRows(documents=[[0, *range(2, 9), 1], [0, 5, 4, 3, 1], [0, 7, 8, 1]], seq_len=8)
    lock = small_lock(data, vocab_size=9, steps=4, batch_rows=1, save_every=2, evaluate_every=2)
    model = Loaded(id="fakes/successor", target=fakes.SuccessorModel, options=fakes.NoOptions())
    check_trainer(
        trainer, fakes.SuccessorOptions(), model=model, data=data, lock=lock, folder=tmp_path, **given
    )


def patched_fit(**replaced):
    """A trainer whose `fit` receives other functions than it was given."""

    def fit(self, lock, data, **given):
        changed = {name: change(given[name]) for name, change in replaced.items()}
        return fakes.SuccessorTrainer(self.options).fit(lock, data, **{**given, **changed})

    return broken(fakes.SuccessorTrainer, fit=fit)


class Forgetful:
    """Checkpoints that lose what was trained, give or take."""

    def __init__(self, checkpoints):
        self.checkpoints = checkpoints

    def resume(self):
        saved = self.checkpoints.resume()
        if saved is not None:
            (saved.path / "model/after.json").write_text(json.dumps({"after": [], "vocab_size": 9}))
        return saved

    def is_due(self, step):
        return self.checkpoints.is_due(step)

    def save(self, **saved):
        self.checkpoints.save(**saved)


class Promising(Forgetful):
    """Checkpoints that promise copies of a number which goes on counting."""

    now = 0

    def resume(self):
        return self.checkpoints.resume()

    def is_due(self, step):
        self.now = step
        return self.checkpoints.is_due(step)

    def save(self, **saved):
        files = {**saved["files"], "trainer/live.txt": lambda path: path.write_text(str(self.now))}
        self.checkpoints.save(**{**saved, "files": files, "detached": True})


@pytest.mark.parametrize(
    ("replaced", "says"),
    [
        ({"checkpoints": Forgetful}, "differ"),
        ({"checkpoints": Promising}, "saved as `detached` at step 2 and written later"),
        ({"emit": lambda emit: lambda event: None}, "StepDone was due"),
        ({"evaluate": lambda evaluate: lambda live, step: {}}, "evaluation was due"),
        ({"evaluate": lambda evaluate: lambda live, step: evaluate(None, step)}, "LanguageModel"),
        ({"should_stop": lambda should_stop: lambda: False}, "signal"),
    ],
)
def test_trainer_suite_notices(replaced, says, tmp_path):
    """A trainer that forgets, stays silent, skips evaluation or does not stop is noticed."""
    with pytest.raises(AssertionError, match=says):
        trained(patched_fit(**replaced), tmp_path)


class Unmasked:
    """Rows whose every target is supervised, whatever the data says."""

    def __init__(self, data):
        self.data, self.num_rows, self.seq_len = data, data.num_rows, data.seq_len

    def rows(self, start, count):
        batch = self.data.rows(start, count)
        return attrs.evolve(batch, loss_mask=batch.document_ids >= 0)


def test_trainer_suite_notices_an_ignored_mask(tmp_path):
    """A trainer that declares `finetune` and learns what is not supervised is noticed; one that heeds masks passes."""

    def fit(self, lock, data, **given):
        return fakes.SuccessorTrainer(self.options).fit(lock, Unmasked(data), **given)

    trained(fakes.SuccessorTrainer, tmp_path / "heeding", capabilities=("finetune",))
    with pytest.raises(AssertionError, match="targets that are not supervised must teach nothing"):
        trained(broken(fakes.SuccessorTrainer, fit=fit), tmp_path / "deaf", capabilities=("finetune",))


def test_refusals_tell_what_came_instead():
    """A suite that expects an error says which other one came."""
    with pytest.raises(AssertionError, match="but got KeyError"):
        refuses(lambda: {}["x"], ArtefactError, "must fail")

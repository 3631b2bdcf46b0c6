"""Every contract's suite runs over a fake: the fakes keep their promises, and the suites can pass."""

from __future__ import annotations

from codex_core.contracts import Loaded
from codex_core.testing import (
    check_dataset,
    check_metric,
    check_model,
    check_policy,
    check_tokenizer,
    check_trainer,
    check_writer,
)
from codex_core.testing.shell import SmallRows, small_lock
from tests.support import fakes


def test_tokenizer_fake_conforms(tmp_path):
    """The code-point tokenizer keeps every promise of the tokenizer contract."""
    check_tokenizer(fakes.CodePointTokenizer, fakes.NoOptions(), folder=tmp_path)


def test_dataset_fake_conforms():
    """The dataset of texts keeps every promise of the dataset contract."""
    check_dataset(fakes.TextsDataset, fakes.TextsOptions())


def test_model_and_trainer_fakes_conform(tmp_path):
    """The successor model is trained, resumed after every step, opened, scored and continued."""
    data = SmallRows(documents=[[0, *range(2, 9), 1], [0, 5, 4, 3, 1], [0, 7, 8, 1]], seq_len=8)
    lock = small_lock(data, vocab_size=9, steps=4, batch_rows=1, save_every=2, evaluate_every=2)
    model = Loaded(id="fakes/successor", target=fakes.SuccessorModel, options=fakes.NoOptions())
    runs, empty = tmp_path / "runs", tmp_path / "empty"
    empty.mkdir()
    last = check_trainer(
        fakes.SuccessorTrainer, fakes.SuccessorOptions(), model=model, data=data, lock=lock, folder=runs
    )
    check_model(fakes.SuccessorModel, fakes.NoOptions(), trained=last / "model", empty=empty)


def test_metric_fake_conforms():
    """The metric that counts texts keeps every promise of the metric contract."""
    check_metric(fakes.CountingMetric, fakes.NoOptions())


def test_writer_fake_conforms(tmp_path):
    """The writer that keeps rows in a list keeps every promise of the writer contract."""
    check_writer(fakes.ListWriter, fakes.NoOptions(), folder=tmp_path)


def test_policy_fake_conforms():
    """The policy that hides a word keeps every promise of the policy contract."""
    check_policy(fakes.WordPolicy, fakes.WordOptions(), forbidden=["hunter2"])

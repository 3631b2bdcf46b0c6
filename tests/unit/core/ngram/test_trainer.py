"""The n-gram trainer: what it reports, and that a resumed run equals an unbroken one."""

from __future__ import annotations

import math

import numpy as np
import pytest

from codex_core.contracts import Loaded
from codex_core.events import ProgressMade, StepDone
from codex_core.ngram import artefact, smoothing
from codex_core.ngram.counts import Counts, cut_events
from codex_core.ngram.model import Ngram
from codex_core.ngram.options import NgramOptions, NgramTrainerOptions
from codex_core.ngram.trainer import NgramTrainer
from codex_core.testing import check_model, check_trainer
from codex_core.testing.shell import FolderCheckpoints, SmallRows, small_lock
from tests.support.ngrams import VOCAB, documents

MODEL = Loaded(id="codex-core/ngram", target=Ngram, options=NgramOptions(order=4))


@pytest.fixture(scope="module")
def data():
    """24 rows of 20 tokens from documents of 31."""
    return SmallRows(documents=documents(16, seed=11), seq_len=20)


def train(lock, data, folder):
    """An unbroken run: its result, events and checkpoints."""
    events = []
    checkpoints = FolderCheckpoints(root=folder, every=lock.save_every, last=lock.steps)
    result = NgramTrainer(NgramTrainerOptions()).fit(
        lock,
        data,
        load=lambda section: MODEL,
        emit=events.append,
        checkpoints=checkpoints,
        evaluate=lambda live, step: {},
        should_stop=lambda: False,
    )
    return result, events, checkpoints


@pytest.mark.parametrize("log_every", [1, 3])
def test_resumed_run_equals_unbroken_run(data, tmp_path, log_every):
    """Stopped and resumed after any step, files, metrics and result are those of the unbroken run, to the byte."""
    lock = small_lock(
        data, vocab_size=VOCAB, steps=11, batch_rows=3, save_every=4, evaluate_every=5, log_every=log_every
    )
    (tmp_path / "empty").mkdir()
    last = check_trainer(
        NgramTrainer, NgramTrainerOptions(), model=MODEL, data=data, lock=lock, folder=tmp_path / "runs"
    )
    check_model(Ngram, MODEL.options, trained=last / "model", empty=tmp_path / "empty")


def test_run_counts_each_row_in_order(data, tmp_path):
    """After s steps the table holds exactly the first s * batch_rows rows."""
    lock = small_lock(data, vocab_size=VOCAB, steps=5, batch_rows=3, save_every=2)
    _, _, checkpoints = train(lock, data, tmp_path)
    for step in (2, 4, 5):
        table = artefact.load(checkpoints.path(step) / "model")
        wanted = Counts.empty(order=4, vocab_size=VOCAB)
        wanted.add(cut_events(data.rows(0, step * 3), order=4, vocab_size=VOCAB))
        wanted.settle()
        assert np.array_equal(table.keys, wanted.keys) and np.array_equal(table.counts, wanted.counts)


def test_loss_is_measured_before_counting(data, tmp_path):
    """The first loss is ln(vocabulary), the second what the first rows alone say of the second ones."""
    lock = small_lock(data, vocab_size=VOCAB, steps=2, batch_rows=3)
    _, events, _ = train(lock, data, tmp_path)
    losses = [event.metrics["loss"] for event in events if isinstance(event, StepDone)]
    seen = Counts.empty(order=4, vocab_size=VOCAB)
    seen.add(cut_events(data.rows(0, 3), order=4, vocab_size=VOCAB))
    later = cut_events(data.rows(3, 3), order=4, vocab_size=VOCAB)
    logs = smoothing.estimate(seen).log_probabilities(later[:, :-1], later[:, -1].astype(np.int64))
    assert losses == [pytest.approx(math.log(VOCAB), abs=1e-12), -logs.mean()]


def test_loss_falls_on_text_with_structure(tmp_path):
    """Rows that repeat a pattern are predicted better and better."""
    data = SmallRows(documents=[[0, *([3, 4, 5, 6, 7] * 4), 1]] * 30, seq_len=21)
    lock = small_lock(data, vocab_size=VOCAB, steps=15, batch_rows=2)
    result, _, _ = train(lock, data, tmp_path)
    assert result.metrics["loss"] < 0.2


def test_reports_come_when_due(data, tmp_path):
    """Steps are logged each `log_every` and at the end, progress after each step; tokens are supervised ones."""
    lock = small_lock(data, vocab_size=VOCAB, steps=7, batch_rows=3, log_every=3)
    result, events, _ = train(lock, data, tmp_path)
    assert [event.step for event in events if isinstance(event, StepDone)] == [3, 6, 7]
    assert [event.done for event in events if isinstance(event, ProgressMade)] == [1, 2, 3, 4, 5, 6, 7]
    assert result.tokens == data.num_supervised(0, 21)


def test_nothing_is_logged_where_never_is_asked(data, tmp_path):
    """`log_every` 0 means never: no step is reported, and no number is made up for the result."""
    lock = small_lock(data, vocab_size=VOCAB, steps=3, batch_rows=3, log_every=0)
    result, events, _ = train(lock, data, tmp_path)
    assert not any(isinstance(event, StepDone) for event in events)
    assert result.metrics == {}

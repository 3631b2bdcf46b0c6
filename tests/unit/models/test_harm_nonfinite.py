"""Harm check A8: a number that is not finite is neither hidden nor applied, and the policy is kept."""

from __future__ import annotations

import math

import attrs
import pytest
import torch

from codex_core.errors import RollBack, RunFailed
from codex_core.journal import plain
from tests.support.decoders import TINY, CountingRows, options_for, train
from tests.support.trainings import MarkedRows

UNTIED = attrs.evolve(TINY, tied_embeddings=False)


class Breaker:
    """Spoils the gradient of given steps, through the evaluation hook before them, and keeps weights by step."""

    def __init__(self, *steps: int) -> None:
        self.steps = steps
        self.weights: dict[int, dict[str, torch.Tensor]] = {}
        self.hook = None

    def __call__(self, live, step):
        model = live.model
        self.weights[step] = {name: value.detach().clone() for name, value in model.named_parameters()}
        if self.hook is not None:
            self.hook.remove()
            self.hook = None
        if step + 1 in self.steps:
            self.hook = model.norm_gain.register_hook(lambda gradient: gradient * torch.inf)
        return {}


def _equal(one, other) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def test_a8_skip_leaves_the_weights_and_goes_on(tmp_path):
    """Skipped steps change no weight, are told with their real numbers, and count as steps."""
    breaker = Breaker(4, 5)
    trained = train(
        tmp_path,
        options=options_for(on_nonfinite="skip"),
        evaluate=breaker,
        evaluate_every=1,
        log_every=1,
    )
    assert _equal(breaker.weights[3], breaker.weights[5])
    assert not _equal(breaker.weights[5], breaker.weights[6])
    told = trained.of_kind("update_withheld")
    assert [(event.step, event.action, event.skipped) for event in told] == [(4, "skip", 1), (5, "skip", 2)]
    assert not any(math.isfinite(event.grad_norm) for event in told)
    assert all(math.isfinite(event.loss) for event in told)
    rows = {event.step: event.metrics for event in trained.of_kind("step")}
    assert set(rows[4]) == {"lr", "skipped_steps"} and rows[5]["skipped_steps"] == 2.0
    assert rows[6]["skipped_steps"] == 2.0 and math.isfinite(rows[6]["loss"])
    assert "skipped_steps" not in rows[3]
    assert trained.result.steps == 8


def test_a8_mean_of_an_interval_leaves_skipped_steps_out(tmp_path):
    """A logged loss is the mean over the steps that were applied, as if the others had not been."""
    every = train(
        tmp_path / "a",
        options=options_for(on_nonfinite="skip"),
        evaluate=Breaker(2),
        evaluate_every=1,
        log_every=1,
    )
    both = train(
        tmp_path / "b",
        options=options_for(on_nonfinite="skip"),
        evaluate=Breaker(2),
        evaluate_every=1,
        log_every=2,
    )
    losses = {event.step: event.metrics.get("loss") for event in every.of_kind("step")}
    assert losses[2] is None
    assert both.of_kind("step")[0].metrics["loss"] == losses[1]


def test_a8_too_many_skipped_steps_end_the_run(tmp_path):
    """One more than `max_nonfinite` stops the run with exit 1, and says how many there had been."""
    with pytest.raises(RunFailed, match="step 6") as caught:
        train(
            tmp_path,
            options=options_for(on_nonfinite="skip", max_nonfinite=2),
            evaluate=Breaker(3, 5, 6),
            evaluate_every=1,
        )
    assert caught.value.code == "TRN-002" and caught.value.exit_code == 1
    assert "2 steps had been skipped" in caught.value.why


def test_a8_skipped_steps_survive_a_resume(tmp_path):
    """The count of skipped steps is part of a checkpoint: a resumed run stops where the unbroken one does."""
    options = options_for(on_nonfinite="skip", max_nonfinite=2)
    begun = train(
        tmp_path / "a",
        options=options,
        evaluate=Breaker(2, 3),
        evaluate_every=1,
        steps=4,
        save_at=frozenset({4}),
    )
    with pytest.raises(RunFailed, match="step 6"):
        train(
            tmp_path / "b",
            options=options,
            evaluate=Breaker(6),
            evaluate_every=1,
            parent=begun.checkpoints.saved[4],
        )


def test_a8_stop_tells_before_it_ends(tmp_path):
    """The default stops the run; the journal has the real number before the error does."""
    events = []
    with pytest.raises(RunFailed, match=r"inf|nan"):
        train(tmp_path, evaluate=Breaker(3), evaluate_every=1, events=events)
    (told,) = [event for event in events if event.kind == "update_withheld"]
    assert (told.step, told.action, told.positions) == (3, "stop", tuple(range(8, 12)))
    assert told.sentence().startswith("warning: step 3 was not applied, its loss is ")
    assert f"gradient norm {told.grad_norm}: stop" in told.sentence()
    assert plain(told.fields())["grad_norm"] in ("NaN", "Infinity")


@pytest.mark.parametrize(("micro_batch_rows", "suspects"), [(1, (6,)), (2, (6, 7)), (4, (4, 5, 6, 7))])
def test_a8_rollback_names_the_rows_whose_loss_is_not_finite(tmp_path, micro_batch_rows, suspects):
    """Going back asks for as few documents as the split can tell apart: the micro-batch whose loss is a NaN."""

    def spoil(live, step):
        with torch.no_grad():
            live.model.embedding.weight[22] = torch.nan
        return {}

    with pytest.raises(RollBack) as caught:
        train(
            tmp_path,
            options=options_for(on_nonfinite="rollback", micro_batch_rows=micro_batch_rows),
            model=UNTIED,
            rows=MarkedRows(marked=frozenset({6})),
            evaluate=spoil,
            evaluate_every=1,
        )
    assert (caught.value.step, caught.value.positions) == (2, suspects)
    assert caught.value.exit_code == 1 and "loss is nan" in caught.value.what


def test_a8_rollback_suspects_all_rows_when_only_the_gradient_is_not_finite(tmp_path):
    """When every loss is finite no row can be cleared."""
    with pytest.raises(RollBack) as caught:
        train(
            tmp_path,
            options=options_for(on_nonfinite="rollback", micro_batch_rows=1),
            evaluate=Breaker(2),
            evaluate_every=1,
        )
    assert caught.value.positions == (4, 5, 6, 7)


def test_a3_step_without_supervision_names_its_documents(tmp_path):
    """A step whose every target is masked is an error that names rows and, where the data knows them, documents."""
    unsupervised = CountingRows(unsupervised=frozenset({4, 5, 6, 7}))
    with pytest.raises(RunFailed, match="step 2 has no supervised token") as caught:
        train(tmp_path, rows=MarkedRows(marked=frozenset(), rows_below=unsupervised))
    assert caught.value.where == "rows at positions 4 to 7, documents doc-4, doc-5, doc-6, doc-7"

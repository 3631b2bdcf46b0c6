"""The torch trainer: what it minimises, what it tells, and that a resumed run equals the unbroken one."""

from __future__ import annotations

import math

import attrs
import pytest
import torch

from codex_core.contracts import Trainer
from codex_core.duration import Duration
from codex_core.errors import ArtefactError, CapabilityMissing, ConfigError, RunFailed
from codex_models.decoder import Decoder
from codex_models.trainer import TorchTrainer
from codex_models.trainer_options import TorchTrainerOptions
from tests.support.decoders import TINY, VOCAB_SIZE, CountingRows, options_for, train

WITH_DROPOUT = attrs.evolve(TINY, dropout=0.2)


def _files(state) -> dict[str, bytes]:
    paths = [path for path in sorted(state.path.rglob("*")) if path.is_file()]
    return {path.relative_to(state.path).as_posix(): path.read_bytes() for path in paths}


def _rows(trained) -> dict[int, tuple]:
    return {event.step: (event.tokens, event.metrics) for event in trained.of_kind("step")}


@pytest.mark.parametrize("at", range(1, 8))
def test_resumed_run_equals_unbroken_run(tmp_path, at):
    """Stopped after any step and resumed, weights, moments, state and metric rows are bit-identical."""
    options = options_for(micro_batch_rows=2)
    unbroken = train(tmp_path / "whole", options=options, model=WITH_DROPOUT, save_at=frozenset({at, 8}))
    resumed = train(
        tmp_path / "rest",
        options=options,
        model=WITH_DROPOUT,
        save_at=frozenset({8}),
        parent=unbroken.checkpoints.saved[at],
    )
    assert _files(resumed.checkpoints.saved[8]) == _files(unbroken.checkpoints.saved[8])
    expected = {step: row for step, row in _rows(unbroken).items() if step > at}
    assert _rows(resumed) == expected
    assert resumed.result == unbroken.result


@pytest.mark.parametrize("changes", [{"precision": "bf16"}, {"optimizer": "muon"}], ids=str)
def test_bf16_and_muon_resume_bit_for_bit(tmp_path, changes):
    """bf16 arithmetic over fp32 weights, and Muon's momentum, resume as exactly as fp32 and AdamW do."""
    options = options_for(**changes)
    unbroken = train(tmp_path / "whole", options=options, save_at=frozenset({5, 8}))
    resumed = train(
        tmp_path / "rest", options=options, save_at=frozenset({8}), parent=unbroken.checkpoints.saved[5]
    )
    assert _files(resumed.checkpoints.saved[8]) == _files(unbroken.checkpoints.saved[8])


def test_stop_signal_finishes_the_step_and_saves(tmp_path):
    """When asked to stop, the trainer saves after the step, says so, and the rest can be trained later."""
    asked = iter([False, False, True])
    stopped = train(tmp_path / "a", should_stop=lambda: next(asked))
    assert (stopped.result.steps, stopped.result.reason) == (3, "signal")
    rest = train(tmp_path / "b", parent=stopped.checkpoints.saved[3], save_at=frozenset({8}))
    whole = train(tmp_path / "c", save_at=frozenset({8}))
    assert _files(rest.checkpoints.saved[8]) == _files(whole.checkpoints.saved[8])


@pytest.mark.parametrize("micro_batch_rows", [1, 2])
def test_micro_batches_change_nothing_but_rounding(tmp_path, micro_batch_rows):
    """The loss and its gradient's norm are those of the whole batch (1e-6), with unequal counts of supervision."""
    rows = CountingRows(unsupervised=frozenset({1, 6}))
    whole = train(tmp_path / "a", rows=rows, steps=3, log_every=1)
    parts = train(
        tmp_path / "b",
        rows=rows,
        steps=3,
        log_every=1,
        options=options_for(micro_batch_rows=micro_batch_rows),
    )
    for one, other in zip(whole.of_kind("step"), parts.of_kind("step"), strict=True):
        assert one.metrics == pytest.approx(other.metrics, rel=1e-6 if one.step == 1 else 1e-4)


def test_logged_loss_is_the_mean_over_supervised_tokens_of_the_interval(tmp_path):
    """A logged loss weighs the steps since the last one by their supervised tokens; the last step is always told."""
    rows = CountingRows(unsupervised=frozenset({0, 1, 2}))
    every = {
        step: row[1]["loss"] for step, row in _rows(train(tmp_path / "a", rows=rows, log_every=1)).items()
    }
    third = _rows(train(tmp_path / "b", rows=rows, log_every=3))
    assert list(third) == [3, 6, 8]
    counts = {step: rows.num_supervised(4 * (step - 1), 4) for step in range(1, 9)}
    for last, steps in ((3, (1, 2, 3)), (6, (4, 5, 6)), (8, (7, 8))):
        mean = sum(every[step] * counts[step] for step in steps) / sum(counts[step] for step in steps)
        assert third[last][1]["loss"] == pytest.approx(mean, rel=1e-12)
        assert third[last][0] == last * 4 * 9


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_loss_falls_from_ln_v(tmp_path, precision, optimizer):
    """An untrained model starts at ln(V) and learns the counting language, in either precision."""
    options = options_for(precision=precision, optimizer=optimizer, lr=3e-2, muon_lr=3e-2)
    trained = train(tmp_path, steps=60, log_every=1, options=options)
    losses = [event.metrics["loss"] for event in trained.of_kind("step")]
    assert losses[0] == pytest.approx(math.log(VOCAB_SIZE), rel=0.02)
    assert losses[-1] < 0.5 * losses[0]
    prepared = trained.of_kind("training_prepared")[0]
    assert prepared.dtype == {"fp32": "float32", "bf16": "bfloat16"}[precision]
    assert trained.of_kind("warning") == []


def test_saved_model_opens_and_scores_like_the_live_one(tmp_path):
    """The model folder of a checkpoint scores like the live model did, with the rows' length as its context."""
    live_scores = []
    trained = train(
        tmp_path,
        save_at=frozenset({8}),
        evaluate_every=8,
        evaluate=lambda live, step: live_scores.append(live.loglikelihood([[1, 2, 3, 4]])[0]) or {},
    )
    opened = Decoder.open(trained.checkpoints.saved[8].path / "model")
    assert opened.loglikelihood([[1, 2, 3, 4]])[0] == pytest.approx(live_scores[0], abs=1e-5)
    assert opened.context_length == 9


def test_evaluation_does_not_disturb_training(tmp_path):
    """A run that evaluates and samples at every step ends with the bytes of a run that never does."""
    plain = train(tmp_path / "a", model=WITH_DROPOUT, save_at=frozenset({8}))
    steps = []

    def evaluate(live, step):
        steps.append(step)
        live.loglikelihood([[1, 2, 3], [4, 5]])
        return {}

    watched = train(
        tmp_path / "b", model=WITH_DROPOUT, save_at=frozenset({8}), evaluate_every=3, evaluate=evaluate
    )
    assert steps == [3, 6, 8]
    assert _files(watched.checkpoints.saved[8]) == _files(plain.checkpoints.saved[8])


def test_a_run_puts_the_process_back_as_it_was(tmp_path):
    """Threads, deterministic kernels and the global generator are what they were before the run."""
    state = torch.get_rng_state()
    before = (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled())
    train(tmp_path, model=WITH_DROPOUT, threads=1)
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == before
    assert torch.equal(torch.get_rng_state(), state)


def test_step_without_supervision_is_refused(tmp_path):
    """A step whose every target is masked has no loss: the run stops and names the rows."""
    with pytest.raises(RunFailed, match="step 2 has no supervised token") as caught:
        train(tmp_path, rows=CountingRows(unsupervised=frozenset({4, 5, 6, 7})))
    assert caught.value.where == "rows at positions 4 to 7"


@pytest.mark.parametrize("poison", ["weight", "gradient"])
def test_update_that_is_not_finite_is_not_applied(tmp_path, monkeypatch, poison):
    """A NaN stops the run with its real value, and neither weights nor moments of the last checkpoint change."""
    events, kept = [], {}

    def evaluate(live, step):
        model = live.model
        if poison == "weight":
            with torch.no_grad():
                model.norm_gain[0] = torch.nan
        else:
            model.norm_gain.register_hook(lambda grad: grad * torch.inf)
        kept.update({name: tensor.detach().clone() for name, tensor in model.named_parameters()})
        kept["live"] = model
        return {}

    with pytest.raises(RunFailed) as caught:
        train(tmp_path, events=events, evaluate_every=4, evaluate=evaluate, log_every=1)
    assert "step 5" in caught.value.what
    assert "nan" in caught.value.what or "inf" in caught.value.what
    assert [event.step for event in events if event.kind == "step"] == [1, 2, 3, 4]
    model = kept.pop("live")
    for name, tensor in model.named_parameters():
        torch.testing.assert_close(tensor, kept[name], rtol=0, atol=0, equal_nan=True)
        assert tensor.grad is None


def test_unlikely_first_loss_is_told(tmp_path, monkeypatch):
    """A first loss far from ln(V) raises a warning that states both numbers."""
    build = Decoder.build

    def loud(*arguments, **keywords):
        model = build(*arguments, **keywords)
        with torch.no_grad():
            model.head.weight.mul_(100.0)
        return model

    monkeypatch.setattr(Decoder, "build", loud)
    warnings = train(tmp_path, steps=1).of_kind("warning")
    assert [warning.code for warning in warnings] == ["TRN-003"]
    assert f"{math.log(VOCAB_SIZE):.3f}" in warnings[0].text


def test_weight_decay_touches_matrices_only(tmp_path):
    """With a vanishing learning rate of the gradient, decay shrinks matrices and leaves gains at one."""
    heavy = options_for(weight_decay=50.0, lr=1e-2, eps=1e30)
    trained = train(tmp_path, options=heavy, save_at=frozenset({8}))
    model = Decoder.open(trained.checkpoints.saved[8].path / "model").model
    fresh = Decoder.build(TINY, vocab_size=VOCAB_SIZE, seed=3)
    assert model.embedding.weight.norm() < 0.1 * fresh.embedding.weight.norm()
    assert torch.equal(model.norm_gain, fresh.norm_gain)


def test_clipping_bounds_the_update_and_tells_the_true_norm(tmp_path):
    """The logged norm is the one before clipping; a tiny limit changes the result."""
    free = train(tmp_path / "a", options=options_for(clip=None), steps=1, log_every=1, save_at=frozenset({1}))
    tight = train(
        tmp_path / "b", options=options_for(clip=1e-3, eps=1.0), steps=1, log_every=1, save_at=frozenset({1})
    )
    loose = train(
        tmp_path / "c", options=options_for(clip=None, eps=1.0), steps=1, log_every=1, save_at=frozenset({1})
    )
    norms = [run.of_kind("step")[0].metrics["grad_norm"] for run in (free, tight, loose)]
    assert norms[0] == norms[1] == norms[2] > 1e-3
    assert _files(tight.checkpoints.saved[1]) != _files(loose.checkpoints.saved[1])


def test_rates_are_told_beside_every_logged_step(tmp_path):
    """Performance travels in its own records, one per logged step, and never in metric rows."""
    trained = train(tmp_path)
    assert [event.step for event in trained.of_kind("perf")] == [3, 6, 8]
    for event in trained.of_kind("perf"):
        assert event.values["tokens_per_s"] > event.values["supervised_tokens_per_s"] > 0
        assert event.values["step_ms"] > 0
        assert event.values["peak_rss_bytes"] > 1e6
    assert set(trained.of_kind("step")[0].metrics) == {"loss", "lr", "grad_norm"}


def test_rows_longer_than_the_context_are_refused(tmp_path):
    """Rows that the model was not made for are a mistake of the configuration."""
    with pytest.raises(ConfigError, match="rows have 9 tokens and the model's context is 8"):
        train(tmp_path, model=attrs.evolve(TINY, context_length=8))


def test_resume_with_another_arithmetic_is_refused(tmp_path):
    """A run that began in fp32 does not continue in bf16; both are named."""
    begun = train(tmp_path, save_at=frozenset({4}))
    with pytest.raises(ConfigError, match="another arithmetic") as caught:
        train(tmp_path, parent=begun.checkpoints.saved[4], options=options_for(precision="bf16"))
    assert "float32" in caught.value.why and "bfloat16" in caught.value.why


def test_resume_from_foreign_state_is_refused(tmp_path):
    """A checkpoint of another trainer or of another model is refused, not adapted."""
    begun = train(tmp_path, save_at=frozenset({4})).checkpoints.saved[4]
    with pytest.raises(ArtefactError, match="trainer state"):
        train(tmp_path, parent=attrs.evolve(begun, state={"format": "other/1"}))
    with pytest.raises(ArtefactError, match="do not fit the model"):
        train(tmp_path, parent=begun, model=attrs.evolve(TINY, layers=3))


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs an accelerator to be absent")
def test_training_on_a_missing_device_is_refused(tmp_path):
    """device: cuda on a machine without it exits 6 and trains nothing."""
    with pytest.raises(CapabilityMissing) as caught:
        train(tmp_path, options=options_for(device="cuda"))
    assert caught.value.exit_code == 6


def test_trainer_options_refuse_what_cannot_be():
    """Micro-batches that do not divide the batch, and bounds, are refused where the options are made."""
    assert isinstance(TorchTrainer(TorchTrainerOptions(duration=Duration(1))), Trainer)
    with pytest.raises(ValueError, match="micro_batch_rows must divide"):
        options_for(micro_batch_rows=3)
    with pytest.raises(ValueError, match="precision must be one of"):
        options_for(precision="fp8")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an accelerator")
def test_training_on_an_accelerator_follows_the_cpu(tmp_path):
    """The first losses on a CUDA device are those of the CPU, and its checkpoints open on the CPU."""
    there = train(
        tmp_path / "a",
        options=options_for(device="cuda"),
        log_every=1,
        exactness="L0",
        save_at=frozenset({8}),
    )
    here = train(tmp_path / "b", log_every=1)
    for one, other in zip(there.of_kind("step"), here.of_kind("step"), strict=True):
        assert one.metrics == pytest.approx(other.metrics, rel=1e-3)
    assert Decoder.open(there.checkpoints.saved[8].path / "model").loglikelihood([[1, 2]])

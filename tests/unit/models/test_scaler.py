"""The loss scale of fp16, and where fp16 is refused."""

from __future__ import annotations

import pytest
import torch

from codex_core.errors import CapabilityMissing
from codex_models.precision import training_dtype
from codex_models.scaler import LossScaler
from codex_models.training import begin
from tests.support.decoders import CountingRows, options_for, train
from tests.support.trainings import batches_of, distance, step_of, training_of


def test_scale_halves_on_overflow_and_doubles_after_good_steps():
    """An overflow halves the factor and forgets the good steps; enough good steps double it; both have limits."""
    scaler = LossScaler(factor=8.0, growth_steps=2)
    scaler.succeeded()
    scaler.overflowed()
    assert (scaler.factor, scaler.good_steps) == (4.0, 0)
    scaler.succeeded()
    assert scaler.factor == 4.0
    scaler.succeeded()
    assert (scaler.factor, scaler.good_steps) == (8.0, 0)
    for _ in range(5):
        scaler.overflowed()
    assert scaler.factor == 1.0 and not scaler.can_shrink
    top = LossScaler(factor=2.0**24, growth_steps=1)
    top.succeeded()
    assert top.factor == 2.0**24


def test_scale_is_saved_and_restored():
    """What `state` tells makes an equal scaler."""
    scaler = LossScaler()
    scaler.overflowed()
    scaler.succeeded()
    other = LossScaler()
    other.restore(scaler.state())
    assert other == scaler


def test_scaling_changes_no_digit_of_gradients():
    """The factor is a power of two: gradients, norm and loss are those of the plain step, bit for bit."""
    rows = CountingRows(num_rows=8)
    training = training_of(options_for(batch_rows=8))
    plain, expected = step_of(training, batches_of(training, rows, (4, 4)))
    training.scaler = LossScaler()
    scaled, found = step_of(training, batches_of(training, rows, (4, 4)))
    assert distance(expected, found) == 0.0
    assert plain == scaled


def test_overflow_lowers_the_scale_before_the_policy_is_asked(tmp_path, monkeypatch):
    """With a scale left to try, a gradient that overflows skips the update, says so, and the run goes on."""
    held = {}

    def with_scaler(*arguments, **keywords):
        held["training"] = training = begin(*arguments, **keywords)
        training.scaler = LossScaler(factor=4.0)
        return training

    monkeypatch.setattr("codex_models.trainer.begin", with_scaler)

    def spoil(live, step):
        if step == 2:
            held["hook"] = live.model.norm_gain.register_hook(lambda gradient: gradient * torch.inf)
        if step == 3:
            held["hook"].remove()
        return {}

    trained = train(tmp_path, evaluate=spoil, evaluate_every=1, log_every=1, save_at=frozenset({8}))
    told = trained.of_kind("loss_scale_lowered")
    assert [(event.step, event.factor) for event in told] == [(3, 2.0)]
    assert trained.of_kind("update_withheld") == [] and trained.result.steps == 8
    assert trained.checkpoints.saved[8].state["scaler"] == {"factor": 2.0, "good_steps": 5}


def test_fp16_is_refused_on_a_processor(tmp_path):
    """fp16 without an accelerator exits 6 and says what to use instead; nothing is trained."""
    with pytest.raises(CapabilityMissing, match="fp16") as caught:
        train(tmp_path, options=options_for(precision="fp16"))
    assert caught.value.exit_code == 6 and "bf16" in caught.value.fix
    assert training_dtype("fp16", torch.device("cuda")) == torch.float16


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an accelerator")
def test_fp16_learns_on_an_accelerator_and_resumes_its_scale(tmp_path):
    """On a device that has fp16 the loss falls, updates are applied, and the scale goes on where it was."""
    options = options_for(device="cuda", precision="fp16", lr=3e-2)
    whole = train(
        tmp_path / "a", options=options, steps=40, log_every=1, exactness="L0", save_at=frozenset({20, 40})
    )
    losses = [event.metrics["loss"] for event in whole.of_kind("step") if "loss" in event.metrics]
    assert losses[-1] < 0.7 * losses[0]
    saved = whole.checkpoints.saved
    rest = train(
        tmp_path / "b",
        options=options,
        steps=40,
        exactness="L0",
        parent=saved[20],
        save_at=frozenset({40}),
    )
    assert rest.checkpoints.saved[40].state["scaler"] == saved[40].state["scaler"]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an accelerator")
def test_exactness_on_an_accelerator_needs_a_fixed_workspace(tmp_path, monkeypatch):
    """Without cuBLAS's fixed workspace L1 is refused on a device, with the variable to set."""
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    with pytest.raises(CapabilityMissing, match="L1 cannot be held"):
        train(tmp_path, options=options_for(device="cuda"))

"""The running average of the weights: what it is, where it is saved, and that it disturbs nothing."""

from __future__ import annotations

import attrs
import torch
from safetensors.torch import load_file
from torch import nn

from codex_models.decoder import Decoder
from codex_models.ema import WeightAverage
from tests.support.decoders import TINY, options_for, train
from tests.support.trainings import files_of

NOISY = attrs.evolve(TINY, dropout=0.2)


def test_average_is_its_closed_form_and_trades_places_without_a_trace():
    """After weights 1, 2, 4 with decay 3/4 the average is 1.9375; shown and put back, no bit differs."""
    weight = nn.Parameter(torch.tensor([1.0]))
    average = WeightAverage({"w": weight}, decay=0.75)
    for value in (2.0, 4.0):
        with torch.no_grad():
            weight.fill_(value)
        average.update()
    assert average.tensors["w"].item() == 0.75 * (0.75 * 1.0 + 0.25 * 2.0) + 0.25 * 4.0
    with average.shown():
        assert weight.item() == 1.9375
    assert weight.item() == 4.0 and average.tensors["w"].item() == 1.9375


def test_average_changes_neither_weights_nor_moments(tmp_path):
    """A run with an average computes what the run without computes; only the saved model is another."""
    plain = train(tmp_path / "a", model=NOISY, save_at=frozenset({8}), log_every=1)
    averaged = train(
        tmp_path / "b", model=NOISY, options=options_for(ema=0.9), save_at=frozenset({8}), log_every=1
    )
    assert plain.of_kind("step") == averaged.of_kind("step")
    one, other = files_of(plain.checkpoints.saved[8]), files_of(averaged.checkpoints.saved[8])
    assert other["trainer/optimizer.safetensors"] == one["trainer/optimizer.safetensors"]
    assert other["trainer/weights/model.safetensors"] == one["model/model.safetensors"]
    assert other["model/model.safetensors"] != one["model/model.safetensors"]


def test_saved_model_is_the_average_over_the_steps(tmp_path):
    """`model/` of a checkpoint is decay times what it was plus the rest times the weights, step by step."""
    trained = train(tmp_path, options=options_for(ema=0.5), save_at=frozenset({1, 2, 3}), steps=3)
    path = {step: saved.path for step, saved in trained.checkpoints.saved.items()}
    average = load_file(path[1] / "model" / "model.safetensors")
    for step in (2, 3):
        weights = load_file(path[step] / "trainer" / "weights" / "model.safetensors")
        average = {name: value.lerp(weights[name], 0.5) for name, value in average.items()}
        found = load_file(path[step] / "model" / "model.safetensors")
        assert all(torch.equal(found[name], average[name]) for name in average)


def test_evaluation_sees_the_average_and_says_so(tmp_path):
    """The live model of an evaluation is the average that is saved; the run states it."""
    prints = []
    trained = train(
        tmp_path,
        options=options_for(ema=0.9),
        evaluate_every=4,
        evaluate=lambda live, step: prints.append(live.fingerprint()) or {},
        save_at=frozenset({4, 8}),
    )
    saved = [Decoder.open(trained.checkpoints.saved[step].path / "model").fingerprint() for step in (4, 8)]
    assert prints == saved
    assert trained.of_kind("training_prepared")[0].evaluates == "average"


def test_run_with_average_resumes_bit_for_bit(tmp_path):
    """Average, weights and moments of a resumed run are those of the unbroken one."""
    options = options_for(ema=0.8)
    whole = train(tmp_path / "a", options=options, model=NOISY, save_at=frozenset({3, 8}))
    rest = train(
        tmp_path / "b",
        options=options,
        model=NOISY,
        save_at=frozenset({8}),
        parent=whole.checkpoints.saved[3],
    )
    assert files_of(rest.checkpoints.saved[8]) == files_of(whole.checkpoints.saved[8])


def test_evaluation_disturbs_nothing_with_dropout_and_average(tmp_path):
    """Evaluated at each step or never: weights, average, moments and metric rows are equal to the bit."""
    options = options_for(ema=0.9, micro_batch_rows=2)
    plain = train(tmp_path / "a", options=options, model=NOISY, save_at=frozenset({8}), log_every=1)
    watched = train(
        tmp_path / "b",
        options=options,
        model=NOISY,
        save_at=frozenset({8}),
        log_every=1,
        evaluate_every=1,
        evaluate=lambda live, step: live.loglikelihood([[1, 2, 3], [4, 5]]) and {},
    )
    assert files_of(watched.checkpoints.saved[8]) == files_of(plain.checkpoints.saved[8])
    assert watched.of_kind("step") == plain.of_kind("step")

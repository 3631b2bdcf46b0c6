"""AdamW and Muon over named parameters."""

from __future__ import annotations

import pytest
import torch

from codex_models.muon import Muon, orthogonalised
from codex_models.optimizer import NamedOptimizer
from tests.support.decoders import decoder, options_for


def _random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _with_gradients(seed: int = 0):
    model = decoder()
    for number, parameter in enumerate(model.parameters()):
        parameter.grad = _random(*parameter.shape, seed=seed + number)
    return model


@pytest.mark.parametrize("shape", [(2, 8, 24), (3, 16, 16)])
def test_orthogonalising_evens_out_singular_values(shape):
    """Singular values move near one and singular vectors stay."""
    stack = _random(*shape)
    left, _, right = torch.linalg.svd(stack, full_matrices=False)
    found = orthogonalised(stack)
    turned = left.transpose(1, 2) @ found @ right.transpose(1, 2)
    values = turned.diagonal(dim1=1, dim2=2)
    assert 0.4 < values.min() and values.max() < 1.3
    off_diagonal = turned - torch.diag_embed(values)
    assert off_diagonal.abs().max() < 1e-3  # fp32: observed 2e-5


def test_stacked_matrices_are_updated_one_by_one():
    """Three matrices stored as one get the updates that they get apart."""
    gradient = _random(3, 8, 8)
    together = torch.nn.Parameter(torch.zeros(24, 8))
    together.grad = gradient.view(24, 8)
    _muon({"qkv": together}, {"qkv": 3}).step(0.1)
    for part in range(3):
        alone = torch.nn.Parameter(torch.zeros(8, 8))
        alone.grad = gradient[part]
        _muon({"one": alone}, {"one": 1}).step(0.1)
        torch.testing.assert_close(together[8 * part : 8 * part + 8], alone, rtol=1e-5, atol=1e-6)


def test_muon_updates_have_the_size_of_adamw_updates():
    """The root mean square of an update is about 0.2 times the learning rate; decay shrinks what is there."""
    matrix = torch.nn.Parameter(torch.zeros(64, 16))
    matrix.grad = _random(64, 16)
    _muon({"one": matrix}, {"one": 1}).step(0.1)
    assert matrix.square().mean().sqrt().item() == pytest.approx(0.2 * 0.1, rel=0.25)
    large = torch.nn.Parameter(torch.full((64, 16), 100.0))
    large.grad = _random(64, 16)
    _muon({"one": large}, {"one": 1}, weight_decay=0.5).step(0.1)
    assert large.mean().item() == pytest.approx(95.0, abs=0.1)


def test_muon_takes_the_matrices_inside_blocks_only():
    """Embeddings and gains keep AdamW's moments; matrices of blocks have momentum and nothing else."""
    model = _with_gradients()
    optimizer = NamedOptimizer(model, options_for(optimizer="muon"))
    optimizer.step(1e-2)
    kinds = {
        name: {key.partition(".")[0] for key in optimizer.tensors() if key.endswith(name)}
        for name in model.hidden_matrices()
    }
    assert set(map(frozenset, kinds.values())) == {frozenset({"momentum"})}
    assert len(kinds) == 2 * 4
    assert {"exp_avg.embedding.weight", "exp_avg.norm_gain"} <= optimizer.tensors().keys()


def test_learning_rates_keep_their_proportion():
    """Muon's rate follows the schedule of AdamW's in the proportion of their peaks."""
    half, whole = _with_gradients(), _with_gradients()
    NamedOptimizer(half, options_for(optimizer="muon", lr=1e-2, muon_lr=2e-2)).step(5e-3)
    NamedOptimizer(whole, options_for(optimizer="muon", lr=1e-2, muon_lr=1e-2)).step(1e-2)
    for name in whole.hidden_matrices():
        torch.testing.assert_close(half.get_parameter(name), whole.get_parameter(name))


def _muon(matrices, parts, *, weight_decay: float = 0.0) -> Muon:
    return Muon(matrices, parts=parts, momentum=0.95, weight_decay=weight_decay, dtype=torch.float32)

"""The parts of a block against their textbook forms."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from codex_models.layers import Dropout, NormedLinear, gated_silu, unit_rms


def _random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_unit_rms_has_right_value_and_gradient():
    """The norm equals its definition and its backward pass agrees with finite differences."""
    x = _random(3, 5).requires_grad_()
    torch.testing.assert_close(unit_rms(x, 1e-5), F.rms_norm(x, (5,), eps=1e-5))
    assert torch.autograd.gradcheck(lambda x: unit_rms(x, 1e-5), (x,))


def test_gated_silu_has_right_value_and_gradient():
    """The gated product equals its definition and its backward pass agrees with finite differences."""
    pair = _random(3, 8).requires_grad_()
    torch.testing.assert_close(gated_silu(pair), F.silu(pair[:, :4]) * pair[:, 4:])
    assert torch.autograd.gradcheck(gated_silu, (pair,))


def test_normed_linear_equals_norm_then_matrix():
    """Multiplying the gain into the matrix changes nothing, before and after folding it in for good."""
    layer = NormedLinear(6, 4, eps=1e-5).double()
    with torch.no_grad():
        layer.gain.copy_(_random(6, seed=1))
        layer.weight.copy_(_random(4, 6, seed=2))
    x = _random(3, 6)
    expected = F.rms_norm(x, (6,), layer.gain, eps=1e-5) @ layer.weight.T
    torch.testing.assert_close(layer(x, torch.float64), expected)
    layer.fold()
    torch.testing.assert_close(layer(x, torch.float64), expected)


def test_dropout_depends_on_its_generator_only():
    """The same seed gives the same mask whatever happened before; kept entries are scaled up."""
    layer = Dropout(0.25).train()
    layer.generator = torch.Generator()
    x = torch.ones(3, 401)
    layer.generator.manual_seed(7)
    first = layer(x)
    torch.rand(3)
    layer.generator.manual_seed(7)
    assert torch.equal(layer(x), first)
    assert sorted(set(first.flatten().tolist())) == pytest.approx([0.0, 1 / 0.75])
    assert first.mean().item() == pytest.approx(1.0, abs=0.06)  # 4 standard deviations
    assert not torch.equal(layer(x), first)
    assert torch.equal(layer.eval()(x), x)


def test_dropout_drops_the_share_that_it_says():
    """Over many entries the share of zeros is the rate, rounded to 256ths, and the mean stays."""
    for rate in (0.0, 0.1, 0.5):
        layer = Dropout(rate).train()
        layer.generator = torch.Generator().manual_seed(1)
        found = layer(torch.ones(200_000))
        assert (found == 0).double().mean().item() == pytest.approx(round(256 * rate) / 256, abs=5e-3)
        assert found.mean().item() == pytest.approx(1.0, abs=1e-2)

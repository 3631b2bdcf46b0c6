"""Cross-entropy over supervised tokens."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from codex_models import estimate, loss
from codex_models.loss import log_probabilities, supervised_cross_entropy


def _case(
    dtype: torch.dtype = torch.float64,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(4, 150, 8, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()
    weight = torch.randn(11, 8, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()
    targets = torch.randint(0, 11, (4, 150), generator=generator)
    return hidden, weight, targets, torch.rand(4, 150, generator=generator) < 0.7


def test_loss_and_gradients_equal_reference():
    """Sum and both gradients equal torch's cross-entropy over the supervised tokens, across chunks."""
    hidden, weight, targets, mask = _case()
    loss = supervised_cross_entropy(hidden, weight, targets, mask) / 7
    loss.backward()
    twin_hidden, twin_weight = (tensor.detach().clone().requires_grad_() for tensor in (hidden, weight))
    logits = (twin_hidden @ twin_weight.T)[mask]
    expected = F.cross_entropy(logits, targets[mask], reduction="sum") / 7
    expected.backward()

    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(hidden.grad, twin_hidden.grad, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(weight.grad, twin_weight.grad, rtol=1e-10, atol=1e-12)


def test_a_frozen_output_matrix_gives_the_same_loss_and_gradient_of_activations():
    """What is not trained gets no gradient, and nothing else changes, in chunks that are not full too."""
    hidden, weight, targets, mask = _case()
    trained = supervised_cross_entropy(hidden, weight, targets, mask)
    trained.backward()
    twin_hidden, frozen = hidden.detach().clone().requires_grad_(), weight.detach().clone()
    loss = supervised_cross_entropy(twin_hidden, frozen, targets, mask)
    loss.backward()

    assert loss.item() == trained.item()
    assert frozen.grad is None
    torch.testing.assert_close(twin_hidden.grad, hidden.grad, rtol=1e-12, atol=1e-14)


def test_the_estimate_counts_the_rows_of_logits_that_are_there():
    """Plans count as many rows of logits as the loss holds at once."""
    assert estimate.LOGIT_ROWS == loss._CHUNK_ROWS


def test_loss_of_a_hopeless_target_is_finite_and_exact():
    """A target with a probability below the smallest float still has its true loss."""
    hidden = torch.tensor([[[1.0]]])
    weight = torch.tensor([[300.0], [0.0]])
    loss = supervised_cross_entropy(hidden, weight, torch.tensor([[1]]), torch.tensor([[True]]))
    assert loss.item() == pytest.approx(300.0)


def test_loss_is_nan_when_activations_are():
    """A NaN is not hidden by the way the loss is computed."""
    hidden, weight, targets, mask = _case()
    poisoned = hidden.detach().clone()
    poisoned[mask.nonzero()[0, 0], mask.nonzero()[0, 1]] = torch.nan
    assert supervised_cross_entropy(poisoned, weight, targets, mask).isnan()


def test_bf16_loss_is_near_fp32():
    """bf16 logits change the mean loss by less than 1 %."""
    hidden, weight, targets, mask = _case(torch.float32)
    exact = supervised_cross_entropy(hidden, weight, targets, mask)
    rough = supervised_cross_entropy(hidden.bfloat16(), weight, targets, mask)
    assert rough.item() == pytest.approx(exact.item(), rel=1e-2)  # observed 1e-3


def test_log_probabilities_equal_reference():
    """Scoring gives log-softmax at the targets."""
    hidden, weight, targets, _ = _case()
    found = log_probabilities(hidden.flatten(0, 1), weight, targets.flatten())
    expected = F.log_softmax(hidden.flatten(0, 1) @ weight.T, -1).gather(1, targets.flatten()[:, None])[:, 0]
    torch.testing.assert_close(found, expected)

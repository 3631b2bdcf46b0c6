"""Blocked attention and rotary positions against plain references."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from codex_models.attention import QUERY_BLOCK, BlockedAttention, RotateHeads, rotary_tables, visibility


def _random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("length", [1, 7, QUERY_BLOCK, QUERY_BLOCK + 3, 2 * QUERY_BLOCK])
def test_blocked_attention_equals_reference(length):
    """Output and gradient equal torch's own attention in float64, for lengths within and across blocks."""
    qkv = _random(3, 2, 3, length, 8).requires_grad_()
    documents = torch.randint(0, 3, (2, length), generator=torch.Generator().manual_seed(1)).sort(1).values
    mask = visibility(documents, torch.float64)
    weights = _random(2, length, 3, 8, seed=2)

    out = BlockedAttention.apply(qkv, mask)
    (out * weights).sum().backward()
    twin = qkv.detach().clone().requires_grad_()
    expected = F.scaled_dot_product_attention(*twin, attn_mask=mask).transpose(1, 2)
    (expected * weights).sum().backward()

    torch.testing.assert_close(out, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(qkv.grad, twin.grad, rtol=1e-10, atol=1e-12)


def test_rotation_depends_on_distance_only():
    """Scores between rotated queries and keys are those of the unrotated pair turned by their distance."""
    qkv = _random(1, 6, 3, 2, 8)
    positions = torch.arange(6)[None]
    near = RotateHeads.apply(qkv, *_tables(positions))
    far = RotateHeads.apply(qkv, *_tables(positions + 40))

    scores = near[0] @ near[1].transpose(2, 3)
    shifted = far[0] @ far[1].transpose(2, 3)

    torch.testing.assert_close(scores, shifted, rtol=1e-9, atol=1e-9)
    assert not torch.allclose(scores, qkv[:, :, 0].transpose(1, 2) @ qkv[:, :, 1].permute(0, 2, 3, 1))


def test_rotation_has_right_gradient():
    """The hand-written backward pass of the rotation agrees with finite differences."""
    qkv = _random(2, 3, 3, 2, 4).requires_grad_()
    tables = _tables(torch.tensor([[0, 1, 2], [5, 0, 1]]), head_width=4)
    assert torch.autograd.gradcheck(lambda x: RotateHeads.apply(x, *tables), (qkv,))


def test_visibility_shows_earlier_tokens_of_own_piece():
    """A token sees itself and what came before it in its piece, nothing later and nothing of other pieces."""
    mask = visibility(torch.tensor([[0, 0, 1, 1, -1]]), torch.float32)[0, 0]
    visible = [[column for column in range(5) if mask[row, column] == 0] for row in range(5)]
    assert visible == [[0], [0, 1], [2], [2, 3], [4]]


def _tables(positions: torch.Tensor, *, head_width: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    return rotary_tables(positions, head_width=head_width, theta=10000.0, dtype=torch.float64)

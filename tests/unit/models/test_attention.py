"""Blocked attention and rotary positions against plain references."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from codex_models.attention import (
    QUERY_BLOCK,
    BlockedAttention,
    RotateHeads,
    cached_visibility,
    rotary_tables,
    rotated,
    visibility,
)


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


@pytest.mark.parametrize(
    ("dtype", "bound"), [(torch.float32, 1e-6), (torch.bfloat16, 1e-2)], ids=["fp32", "bf16"]
)
def test_blocked_attention_is_as_exact_as_its_arithmetic(dtype, bound):
    """Over two blocks, output and gradients differ from float64 by less than the bound, as a share of the largest.

    Observed: 3e-7 and 4e-3, which is what torch's own attention has in these dtypes.
    """
    length = QUERY_BLOCK + 40
    mask = visibility(torch.tensor([[0] * 50 + [1] * (length - 50)]), torch.float64)
    exact = _random(3, 1, 2, length, 16).to(dtype).double().requires_grad_()
    weights = _random(1, length, 2, 16, seed=2).to(dtype).double()
    expected = F.scaled_dot_product_attention(*exact, attn_mask=mask).transpose(1, 2)
    (expected * weights).sum().backward()
    rough = exact.detach().to(dtype).requires_grad_()
    out = BlockedAttention.apply(rough, mask.to(dtype))
    (out * weights.to(dtype)).sum().backward()

    assert (out.double() - expected).abs().max() <= bound * expected.abs().max()
    for part in range(3):
        wanted = exact.grad[part]
        assert (rough.grad[part].double() - wanted).abs().max() <= bound * wanted.abs().max()


@pytest.mark.parametrize("num_keys", [4, 2, 1])
def test_rotation_depends_on_distance_only(num_keys):
    """Scores between rotated queries and keys are those of the unrotated pair turned by their distance."""
    heads = _random(1, 6, 4 + 2 * num_keys, 8)
    positions = torch.arange(6)[None]
    near = RotateHeads.apply(heads, 4, *_tables(positions))
    far = RotateHeads.apply(heads, 4, *_tables(positions + 40))

    scores = near[0] @ near[1].transpose(2, 3)
    shifted = far[0] @ far[1].transpose(2, 3)

    torch.testing.assert_close(scores, shifted, rtol=1e-9, atol=1e-9)
    plain = RotateHeads.apply(heads, 4, None, None)
    assert not torch.allclose(scores, plain[0] @ plain[1].transpose(2, 3))


@pytest.mark.parametrize("num_keys", [2, 1])
@pytest.mark.parametrize("turned", [True, False])
def test_rotation_has_right_gradient(num_keys, turned):
    """The hand-written backward pass agrees with finite differences, also where queries share keys and values."""
    heads = _random(2, 3, 2 + 2 * num_keys, 4).requires_grad_()
    tables = _tables(torch.tensor([[0, 1, 2], [5, 0, 1]]), head_width=4) if turned else (None, None)
    assert torch.autograd.gradcheck(lambda x: RotateHeads.apply(x, 2, *tables), (heads,))


def test_shared_keys_and_values_are_repeated_group_by_group():
    """Queries 0 and 1 see the first key and value, queries 2 and 3 the second; a cache gets each of them once."""
    heads = _random(2, 5, 4 + 2 * 2, 8)
    tables = _tables(torch.arange(5).expand(2, 5))
    repeated, kept = RotateHeads.apply(heads, 4, *tables), rotated(heads, 4, tables)

    assert torch.equal(repeated[1], kept[1].repeat_interleave(2, dim=1))
    assert torch.equal(repeated[2], kept[2].repeat_interleave(2, dim=1))
    assert torch.equal(repeated[0], kept[0])


def test_visibility_shows_earlier_tokens_of_own_piece():
    """A token sees itself and what came before it in its piece, nothing later and nothing of other pieces."""
    mask = visibility(torch.tensor([[0, 0, 1, 1, -1]]), torch.float32)[0, 0]
    visible = [[column for column in range(5) if mask[row, column] == 0] for row in range(5)]
    assert visible == [[0], [0, 1], [2], [2, 3], [4]]


def test_visibility_in_a_cache_leaves_padding_out():
    """New tokens see the places up to their own but for padding at the left; padding sees itself."""
    mask = cached_visibility(
        torch.tensor([0, 3]),
        num_new=2,
        num_places=5,
        dtype=torch.float32,
        num_padding_B=torch.tensor([1, 2]),
    )
    visible = [[[s for s in range(5) if row[s] == 0] for row in rows[0]] for rows in mask]
    assert visible == [[[0], [1]], [[2, 3], [2, 3, 4]]]


def _tables(positions: torch.Tensor, *, head_width: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    return rotary_tables(positions, head_width=head_width, theta=10000.0, dtype=torch.float64)

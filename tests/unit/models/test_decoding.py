"""The fast way to read tokens: the same logits as the training forward, whatever the shape of the decoder."""

from __future__ import annotations

import pytest
import torch

from codex_models.decoder import Decoder
from codex_models.decoding import SMALL_MATRIX, DecoderReading, Matrix, Weights, _packed, _times
from codex_models.options import DecoderOptions

VARIANTS = {
    "plain": {},
    "grouped heads": {"kv_heads": 2},
    "one group": {"kv_heads": 1, "width_per_head": 32},
    "learned places": {"positions": "learned", "context_length": 64},
    "LayerNorm, GELU and biases": {"norm": "layer", "biases": "all", "activation": "gelu"},
    "normed heads": {"qk_norm": True, "biases": "qkv"},
    "untied": {"tied_embeddings": False, "scale_embeddings": False},
}


def _decoder(**changes: object) -> Decoder:
    options = DecoderOptions(layers=2, width=64, heads=4, **changes)
    model = Decoder.build(options, vocab_size=300, seed=1)
    noise = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=noise) * 0.05)
    return model


def _read(model: Decoder, ids: list[int], *, beside: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of `ids` read in a batch: row 0 from its tenth token on, row 1 (the same, shorter) from `beside`."""
    model.prepare_for_inference(torch.float32)
    reading = DecoderReading(Weights(model), num_places=len(ids) + 4)
    found = [reading.read_prompts([ids[:10], ids[:beside]])]
    found += [reading.read_tokens([ids[place], ids[place - 10 + beside]]) for place in range(10, len(ids))]
    logits = torch.stack(found)
    return logits[:, 0], logits[:, 1]


@pytest.mark.parametrize("variant", VARIANTS)
def test_reading_token_by_token_equals_one_forward_pass(variant: str) -> None:
    """Every cached step gives the logits of the whole row, alone at its place and padded at the left."""
    model = _decoder(**VARIANTS[variant])
    ids = torch.randint(0, 300, (40,), generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        hidden = model.hidden(ids[None], torch.arange(40)[None], torch.zeros(1, 40, dtype=torch.int64))
        whole = model.head(hidden)[0]

    long, short = _read(model, ids.tolist(), beside=4)

    # float32, 2 layers, logits near 1: observed 1e-6, allowed 1e-5
    torch.testing.assert_close(long, whole[9:], rtol=0, atol=1e-5)
    torch.testing.assert_close(short, whole[3:34], rtol=0, atol=1e-5)


def test_rows_that_leave_do_not_change_those_that_stay() -> None:
    """Dropping a row of the batch leaves the logits of the others as they were."""
    model = _decoder()
    model.prepare_for_inference(torch.float32)
    weights = Weights(model)
    together, alone = (DecoderReading(weights, num_places=16) for _ in range(2))
    together.read_prompts([[5, 6, 7, 8], [9, 10]])
    together.keep([1])
    alone.read_prompts([[9, 10]])

    torch.testing.assert_close(together.read_tokens([11]), alone.read_tokens([11]), rtol=0, atol=1e-5)


def test_a_large_bfloat16_matrix_is_multiplied_as_it_is() -> None:
    """Only small matrices get a float32 copy; the product is that of the rounded entries either way."""
    rows = SMALL_MATRIX // 64 + 64
    weight = torch.randn(rows, 64, generator=torch.Generator().manual_seed(4)).bfloat16()
    x = torch.randn(3, 64, generator=torch.Generator().manual_seed(5))
    large, small = Matrix(weight, None), Matrix(weight[:64], torch.ones(64))

    assert (large.product.func, small.product.func) == (_packed, _times)
    exact = x.double() @ weight.double().t()
    # bfloat16 activations and results: 3 digits
    torch.testing.assert_close(large(x).double(), exact, rtol=2e-2, atol=1e-1)
    torch.testing.assert_close(large(x[:1]).double(), exact[:1], rtol=2e-2, atol=1e-1)
    torch.testing.assert_close(small(x).double(), exact[:, :64] + 1, rtol=1e-5, atol=1e-4)

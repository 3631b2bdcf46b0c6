"""What holds for every shape of the decoder: sizes, masks, the cache, gradients, files."""

from __future__ import annotations

import attrs
import pytest
import torch

from codex_core.records import GenerationSettings
from codex_models.attention import cached_visibility
from codex_models.decoder import Decoder
from codex_models.options import DecoderOptions
from codex_models.state import model_fingerprint
from tests.support.decoders import TINY, VOCAB_SIZE, decoder, one_document

VARIANTS = {
    "plain": TINY,
    "grouped": attrs.evolve(TINY, heads=4, kv_heads=2),
    "qwen2": attrs.evolve(TINY, kv_heads=1, biases="qkv"),
    "qwen3": attrs.evolve(TINY, kv_heads=1, qk_norm=True, width_per_head=12),
    "gpt2": attrs.evolve(
        TINY, positions="learned", context_length=16, activation="gelu_tanh", norm="layer", biases="all"
    ),
    "untied": attrs.evolve(TINY, activation="gelu", tied_embeddings=False, scale_embeddings=False),
}


@pytest.fixture(params=VARIANTS, ids=str)
def model(request):
    """A decoder of each shape whose gains, shifts and biases are not those of a fresh one."""
    made = decoder(VARIANTS[request.param])
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn(parameter.shape, generator=generator) / 4)
    return made


def _ids(rows: int = 2, length: int = 12, *, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, VOCAB_SIZE, (rows, length), generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def _logits(model: Decoder, *arguments: torch.Tensor, **keywords) -> torch.Tensor:
    return model.head(model.hidden(*arguments, **keywords))


def test_size_is_what_the_options_count(model):
    """Parameters are as many as the options say, and matrices inside blocks split evenly into what they hold."""
    assert sum(value.numel() for value in model.parameters()) == model.options.num_parameters(VOCAB_SIZE)
    parameters = model.trainable()
    held = {name: len(parameters[name]) % parts for name, parts in model.hidden_matrices().items()}
    assert set(held.values()) == {0}


def test_documents_of_a_row_do_not_see_each_other(model):
    """A packed row gives each document the logits that it has alone; without document ids it does not."""
    left, right = _ids(1, 5), _ids(1, 7, seed=1)
    ids = torch.cat([left, right], dim=1)
    positions = torch.cat([torch.arange(5), torch.arange(7)])[None]
    documents = torch.tensor([[0] * 5 + [1] * 7])

    packed = _logits(model, ids, positions, documents)
    alone = torch.cat([_logits(model, *one_document(part)) for part in (left, right)], dim=1)

    # fp32, 2 layers, sums over blocks of other lengths: observed 2e-5 at logits of size 30
    torch.testing.assert_close(packed, alone, rtol=1e-5, atol=1e-4)
    leaking = _logits(model, ids, positions, torch.zeros_like(documents))
    assert not torch.allclose(leaking[:, 5:], alone[:, 5:], atol=1e-2)


def test_padding_changes_nothing_and_the_mask_something(model):
    """Padding at either side leaves real tokens as they are; counting padding as text changes them."""
    ids = _ids(1, 6)
    expected = _logits(model, *one_document(ids))
    pad = torch.zeros(1, 4, dtype=torch.int64)
    padded = torch.cat([pad, ids, pad], dim=1)
    positions = torch.cat([torch.zeros(4), torch.arange(6), torch.zeros(4)]).long()[None]
    documents = torch.tensor([[-1] * 4 + [0] * 6 + [-1] * 4])

    masked = _logits(model, padded, positions, documents)[:, 4:10]
    unmasked = _logits(model, padded, positions, torch.zeros_like(documents))[:, 4:10]

    torch.testing.assert_close(masked, expected, rtol=1e-5, atol=1e-4)
    assert not torch.allclose(unmasked, expected, atol=1e-2)


@pytest.mark.parametrize("chunk", [1, 3])
def test_reading_with_a_cache_equals_reading_at_once(model, chunk):
    """Left-padded rows read piece by piece through a cache have the logits of the whole rows: observed 1e-6 of them."""
    rows = [_ids(1, 9)[0], _ids(1, 6, seed=1)[0]]
    padding = torch.tensor([9 - len(row) for row in rows])
    ids = torch.stack([torch.cat([torch.zeros(9 - len(row), dtype=torch.int64), row]) for row in rows])
    caches = model.caches(2, 9)
    found = []
    for start in range(0, 9, chunk):
        starts = torch.full((2,), start)
        positions = (torch.arange(start, start + chunk) - padding[:, None]).clamp(min=0)
        mask = cached_visibility(
            starts, num_new=chunk, num_places=start + chunk, dtype=torch.float32, num_padding_B=padding
        )
        for cache in caches:
            cache.place(starts, start + chunk)
        piece = ids[:, start : start + chunk]
        found.append(_logits(model, piece, positions, piece, caches=caches, mask=mask))

    for row, logits in zip(rows, torch.cat(found, dim=1), strict=True):
        whole = _logits(model, *one_document(row[None]))[0]
        torch.testing.assert_close(
            logits[9 - len(row) :], whole, rtol=1e-5, atol=1e-5 * float(whole.abs().max())
        )


def test_checkpointed_blocks_have_equal_gradients(model):
    """Computing blocks again in the backward pass changes no gradient bit, whatever the shape."""

    def gradients(again: bool) -> dict[str, torch.Tensor]:
        model.checkpoint_blocks = again
        model.zero_grad()
        model.head(model.hidden(*one_document(_ids()))).square().mean().backward()
        return {name: value.grad.clone() for name, value in model.trainable().items()}

    plain, again = gradients(False), gradients(True)
    assert all(torch.equal(plain[name], again[name]) for name in plain)


def test_folding_for_inference_changes_no_function(model, tmp_path):
    """An opened model, whose gains and shifts are worked into matrices, scores as the module that was saved."""
    row = _ids(1, 10)[0].tolist()
    for name, write in model.payload(model.trainable()).items():
        write(tmp_path / name)

    opened = Decoder.open(tmp_path)

    assert opened.fingerprint() == model_fingerprint(model)
    assert opened.loglikelihood([row])[0] == pytest.approx(
        model.language_model().loglikelihood([row])[0], abs=1e-4
    )


@pytest.mark.parametrize("is_opened", [False, True])
def test_generation_is_that_of_the_whole_row(model, is_opened, tmp_path):
    """Greedy continuation, live and from a file, is what reading everything anew for each token gives."""
    prompt = _ids(1, 4)[0].tolist()
    settings = GenerationSettings(max_new_tokens=6, temperature=0.0)
    expected = list(prompt)
    for _ in range(6):
        expected.append(int(_logits(model, *one_document(torch.tensor([expected])))[0, -1].argmax()))
    for name, write in model.payload(model.trainable()).items():
        write(tmp_path / name)
    language_model = Decoder.open(tmp_path) if is_opened else model.language_model()

    chunks = language_model.generate([prompt, prompt[:2]], settings)
    assert [token for chunk in chunks if chunk.index == 0 for token in chunk.ids] == expected[4:]


def test_options_refuse_what_cannot_be_built():
    """Heads that cannot be shared out, odd widths and learned positions without a number are refused."""
    for given, words in (
        ({"heads": 4, "kv_heads": 3}, "kv_heads must divide heads"),
        ({"width_per_head": 7}, "width_per_head must be even"),
        ({"positions": "learned"}, "needs context_length"),
    ):
        with pytest.raises(ValueError, match=words):
            DecoderOptions(**given)

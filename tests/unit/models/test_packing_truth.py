"""Packed rows teach what their documents teach one by one, whatever the packing."""

from __future__ import annotations

import attrs
import numpy as np
import pytest
import torch

from codex_core.contracts import RowBatch
from codex_core.data.packing import PACKINGS, TokenColumns, gather, plan_rows
from codex_models.decoder import Decoder
from codex_models.loss import supervised_cross_entropy
from codex_models.options import DecoderOptions
from tests.support.decoders import TINY, VOCAB_SIZE, decoder

SEQ_LEN = 16
LENGTHS = (9, 4, 17, 2, 6, 12, 3, 8, 17, 5)  # ids; none is longer than a row

#: Kinds of positions and heads that packing has to get right.
MODELS = {
    "rope": TINY,
    "learned": attrs.evolve(TINY, positions="learned", context_length=SEQ_LEN, tied_embeddings=False),
}


def documents() -> TokenColumns:
    """Ten documents of random ids, of which two thirds are learned."""
    chance = np.random.default_rng(4)
    offsets = np.cumsum([0, *LENGTHS])
    mask = (chance.random(offsets[-1]) < 0.67).astype(np.uint8)
    mask[offsets[:-1]] = 0
    return TokenColumns(ids=chance.integers(0, VOCAB_SIZE, offsets[-1]), loss_mask=mask, offsets=offsets)


def packed(tokens: TokenColumns, packing: str) -> RowBatch:
    """All documents in rows."""
    plan = plan_rows(tokens.offsets, seq_len=SEQ_LEN, packing=packing)
    return gather(np.arange(plan.num_rows), plan, tokens)


def one_by_one(tokens: TokenColumns, packing: str) -> list[RowBatch]:
    """The same pieces, each in a batch of its own without padding; whole documents but for `concat`."""
    plan = plan_rows(tokens.offsets, seq_len=SEQ_LEN, packing=packing)
    batches = []
    for document, start, length in zip(plan.document, plan.start, plan.length, strict=True):
        span = slice(
            int(tokens.offsets[document] + start), int(tokens.offsets[document] + start + length + 1)
        )
        ids = tokens.ids[span][None].astype(np.int64)
        batches.append(
            RowBatch(
                inputs=ids[:, :-1],
                targets=ids[:, 1:],
                loss_mask=tokens.loss_mask[span][None, 1:].astype(bool),
                positions=np.arange(length)[None],
                document_ids=np.zeros((1, length), dtype=np.int64),
            )
        )
    assert packing == "concat" or len(batches) == len(LENGTHS), "documents are whole"
    return batches


def hidden_of(model: Decoder, batch: RowBatch) -> torch.Tensor:
    """Activations (R, L, D)."""
    return model.hidden(
        *(torch.from_numpy(values) for values in (batch.inputs, batch.positions, batch.document_ids))
    )


def taught(model: Decoder, batches: list[RowBatch]) -> tuple[float, dict[str, torch.Tensor]]:
    """Mean loss over all supervised tokens of these batches, and its gradients."""
    model.zero_grad()
    num_supervised = sum(int(batch.loss_mask.sum()) for batch in batches)
    total = 0.0
    for batch in batches:
        targets, mask = torch.from_numpy(batch.targets), torch.from_numpy(batch.loss_mask)
        loss = (
            supervised_cross_entropy(hidden_of(model, batch), model.head.weight, targets, mask)
            / num_supervised
        )
        if mask.any():
            loss.backward()
            total += float(loss.detach())
    return total, {name: value.grad.clone() for name, value in model.trainable().items()}


def difference(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """The largest difference of two sets of gradients, as a share of the largest gradient."""
    largest = max(float(value.abs().max()) for value in one.values())
    return max(float((one[name] - other[name]).abs().max()) for name in one) / largest


def model_of(options: DecoderOptions) -> Decoder:
    """A tiny decoder in float64."""
    return decoder(options, dtype=torch.float64)


@pytest.mark.parametrize("options", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("packing", PACKINGS)
def test_packed_rows_teach_what_documents_teach_one_by_one(packing, options):
    """Loss and all gradients in float64 agree to 1e-10."""
    model, tokens = model_of(options), documents()
    loss, gradients = taught(model, [packed(tokens, packing)])
    expected, others = taught(model, one_by_one(tokens, packing))

    assert loss == pytest.approx(expected, rel=1e-10)
    assert difference(others, gradients) < 1e-10  # float64, 2 layers: observed 4e-16


@pytest.mark.parametrize("packing", ["fit", "none"])
def test_whole_documents_do_not_notice_the_packing(packing):
    """`fit` and `none` teach what every document teaches as a corpus of its own."""
    model, tokens = model_of(TINY), documents()
    loss, gradients = taught(model, [packed(tokens, packing)])
    whole = [packed(one, "none") for one in _each(tokens)]
    expected, others = taught(model, whole)

    assert loss == pytest.approx(expected, rel=1e-10)
    assert difference(others, gradients) < 1e-10


def _each(tokens: TokenColumns) -> list[TokenColumns]:
    """Each document as a corpus of its own."""
    borders = list(zip(tokens.offsets[:-1], tokens.offsets[1:], strict=True))
    return [
        TokenColumns(ids=tokens.ids[a:b], loss_mask=tokens.loss_mask[a:b], offsets=np.array([0, b - a]))
        for a, b in borders
    ]


@pytest.mark.parametrize("packing", ["concat", "fit"])
def test_a7_logits_of_documents_do_not_depend_on_their_neighbours(packing):
    """With other text in every first document of a row, logits of all others are equal to the bit."""
    model, batch = model_of(TINY), packed(documents(), packing)
    is_first = batch.document_ids == 0
    changed = attrs.evolve(
        batch, inputs=np.where(is_first, (batch.inputs * 7 + 3) % VOCAB_SIZE, batch.inputs)
    )
    with torch.no_grad():
        before, after = (model.head(hidden_of(model, one)) for one in (batch, changed))
    others = torch.from_numpy(batch.document_ids > 0)

    assert others.sum() > 20
    assert torch.equal(before[others], after[others])
    assert not torch.equal(before[~others], after[~others])


@pytest.mark.parametrize("packing", ["concat", "fit"])
def test_a_leak_between_documents_is_noticed(packing):
    """Planted: rows that forget which piece a token belongs to, or let positions run on, teach something else."""
    model, tokens = model_of(TINY), documents()
    batch = packed(tokens, packing)
    loss, gradients = taught(model, [batch])
    places = np.broadcast_to(np.arange(SEQ_LEN), batch.positions.shape)
    leak = attrs.evolve(batch, document_ids=np.minimum(batch.document_ids, 0), positions=np.array(places))
    leaking, others = taught(model, [leak])

    assert abs(leaking - loss) > 1e-4 and difference(gradients, others) > 1e-3


def test_padding_teaches_nothing():
    """More padding, and any text in it, changes neither loss nor gradients."""
    model, tokens = model_of(TINY), documents()
    batch = packed(tokens, "none")
    padding = batch.document_ids < 0
    other = attrs.evolve(
        batch, inputs=np.where(padding, 5, batch.inputs), targets=np.where(padding, 7, batch.targets)
    )
    loss, gradients = taught(model, [batch])
    found, others = taught(model, [other])

    assert padding.sum() > 50 and not batch.loss_mask[padding].any()
    assert loss == found and difference(gradients, others) == 0.0

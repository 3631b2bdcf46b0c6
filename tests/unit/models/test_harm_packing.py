"""Harm check A7, through the loss: documents that share a row share nothing else."""

from __future__ import annotations

import attrs
import pytest
import torch

from tests.support.decoders import TINY, CountingRows, options_for
from tests.support.trainings import batches_of, distance, step_of, training_of

ROWS = CountingRows(num_rows=4, seq_len=24)


def _only_second(batch):
    """The same rows with nothing supervised but their second documents."""
    return attrs.evolve(batch, loss_mask=batch.loss_mask & (batch.document_ids == 1))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a7_what_a_document_teaches_does_not_depend_on_its_neighbour(precision):
    """With other text in the first document, loss and gradients of the second are equal to the bit."""
    training = training_of(
        options_for(precision=precision, clip=None),
        model=attrs.evolve(TINY, tied_embeddings=False),
        seq_len=24,
    )
    (batch,) = batches_of(training, ROWS, (4,))
    other = attrs.evolve(
        batch, inputs=torch.where(batch.document_ids == 0, (batch.inputs * 7 + 3) % 23, batch.inputs)
    )
    one, expected = step_of(training, [_only_second(batch)], supervised=10)
    two, found = step_of(training, [_only_second(other)], supervised=10)
    assert not torch.equal(batch.inputs, other.inputs)
    assert one == two and distance(expected, found) == 0.0


def test_a7_positions_restart_with_each_document():
    """Every document of a row begins at position 0, so its text means the same wherever it stands."""
    training = training_of(options_for(), seq_len=24)
    (batch,) = batches_of(training, ROWS, (4,))
    begins = (batch.document_ids[:, 1:] != batch.document_ids[:, :-1]) & (batch.document_ids[:, 1:] >= 0)
    assert begins.sum() == 4 and (batch.positions[:, 1:][begins] == 0).all()

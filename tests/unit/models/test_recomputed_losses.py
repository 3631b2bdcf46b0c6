"""No invented numbers: every loss that a run tells follows from its weights and its rows."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from codex_models.decoder import Decoder
from codex_models.guards import warn_of_first_loss
from tests.support.decoders import TINY, VOCAB_SIZE, CountingRows, options_for, train

ROWS = CountingRows(unsupervised=frozenset({1, 6}))


def _loss(model: Decoder, step: int) -> float:
    """Mean cross-entropy of a step's rows in float64, computed from the logits in the plainest way."""
    held = ROWS.rows(4 * (step - 1), 4)
    arrays = (held.inputs, held.positions, held.document_ids, held.targets, held.loss_mask)
    inputs, positions, documents, targets, mask = (torch.from_numpy(array) for array in arrays)
    exact = Decoder(model.options, vocab_size=model.vocab_size).double()
    exact.load_state_dict({name: value.double() for name, value in model.state_dict().items()})
    exact.compute_dtype = torch.float64
    with torch.no_grad():
        logits = exact.head(exact.hidden(inputs, positions, documents))
    return float(F.cross_entropy(logits[mask], targets[mask]))


@pytest.mark.parametrize("micro_batch_rows", [4, 2])
def test_every_loss_row_is_recomputed_from_weights_and_batch(tmp_path, micro_batch_rows):
    """For each of eight steps, the logged loss is the cross-entropy of its rows under the weights before it."""
    before = {1: _loss(Decoder.build(TINY, vocab_size=VOCAB_SIZE, seed=3), 1)}

    def evaluate(live, step):
        before[step + 1] = _loss(live.model, step + 1)
        return {}

    trained = train(
        tmp_path,
        rows=ROWS,
        options=options_for(micro_batch_rows=micro_batch_rows),
        evaluate=evaluate,
        evaluate_every=1,
        log_every=1,
    )
    for event in trained.of_kind("step"):
        # fp32 against fp64, two layers: observed 2e-7, allowed 2e-6
        assert event.metrics["loss"] == pytest.approx(before[event.step], rel=2e-6)
    assert len(trained.of_kind("step")) == 8


def test_first_loss_of_a_model_with_weights_may_be_low_and_not_high():
    """Where weights are given a loss far below ln(V) is expected and one above it is told; a new model is told both."""

    def told(loss: float, *, has_weights: bool) -> int:
        events: list = []
        warn_of_first_loss(loss, vocab_size=1000, has_weights=has_weights, emit=events.append)
        return len(events)

    assert [told(loss, has_weights=True) for loss in (1.0, 6.9, 9.0)] == [0, 0, 1]
    assert [told(loss, has_weights=False) for loss in (1.0, 6.9, 9.0)] == [1, 0, 1]

"""Rows that would train a model on something else are refused before the first step: planted faults, one by one."""

from __future__ import annotations

import attrs
import numpy as np
import pytest

from codex_core.data.packing import PACKINGS, TokenColumns, gather, plan_rows
from codex_core.errors import InputError
from codex_core.events import StepDone
from codex_core.running.sound_rows import faults_of, require_sound
from tests.support.small_runs import start
from tests.support.small_training import SmallPrepared, SmallWork, prepared_at

SEQ_LEN = 12


def batch_of(packing="fit"):
    """Rows with several documents and padding; every document begins with 90 and ends with 91."""
    documents = [[90, *range(number + 1, number + 2 + number % 9), 91] for number in range(30)]
    ids = np.array([id for document in documents for id in document])
    offsets = np.cumsum([0, *map(len, documents)])
    tokens = TokenColumns(ids=ids, loss_mask=np.ones(len(ids), dtype=np.uint8), offsets=offsets)
    plan = plan_rows(offsets, seq_len=SEQ_LEN, packing=packing)
    return gather(np.arange(plan.num_rows), plan, tokens)


def shifted(values, by):
    """The values of each row moved along."""
    return np.roll(values, by, axis=1)


#: What can go wrong with rows, and a word of the sentence that tells it.
FAULTS = {
    "labels are the inputs": (lambda b: attrs.evolve(b, targets=b.inputs), "shifted"),
    "labels are two ahead": (lambda b: attrs.evolve(b, targets=shifted(b.targets, -1)), "shifted"),
    "labels are one behind": (lambda b: attrs.evolve(b, targets=shifted(b.targets, 1)), "shifted"),
    "documents are one": (
        lambda b: attrs.evolve(b, document_ids=np.minimum(b.document_ids, 0)),
        "positions restart or jump",
    ),
    "documents are one and positions run on": (
        lambda b: attrs.evolve(
            b,
            document_ids=np.minimum(b.document_ids, 0),
            positions=np.broadcast_to(np.arange(SEQ_LEN), b.positions.shape),
        ),
        "shifted",
    ),
    "positions run on": (
        lambda b: attrs.evolve(b, positions=np.broadcast_to(np.arange(SEQ_LEN), b.positions.shape)),
        "do not restart",
    ),
    "positions start late": (lambda b: attrs.evolve(b, positions=b.positions + 1), "do not restart"),
    "pieces have any number": (lambda b: attrs.evolve(b, document_ids=b.document_ids * 2), "numbered"),
    "padding is learned": (lambda b: attrs.evolve(b, loss_mask=np.ones_like(b.loss_mask)), "padding"),
}


@pytest.mark.parametrize("packing", PACKINGS)
def test_rows_of_every_packing_are_sound(packing):
    """Nothing is said of rows as they are packed."""
    assert faults_of(batch_of(packing)) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_told(fault):
    """Each fault has its sentence."""
    plant, word = FAULTS[fault]

    assert any(word in sentence for sentence in faults_of(plant(batch_of())))


@attrs.frozen(kw_only=True)
class Planted(SmallPrepared):
    """A prepared set of somebody else, whose labels are the inputs."""

    def packed(self, split, *, seed):
        sound = super().packed(split, seed=seed)

        class Shifted:
            num_rows, seq_len, num_supervised = sound.num_rows, sound.seq_len, sound.num_supervised

            def rows(self, start, count):
                batch = sound.rows(start, count)
                return attrs.evolve(batch, targets=batch.inputs)

        return Shifted()


@attrs.define
class PlantedWork(SmallWork):
    """A training on them."""

    def prepare(self, plan):
        held = prepared_at(self.folder / "prepared")
        return Planted(path=held.path, tokenizer_path=held.tokenizer_path)


def test_a_training_on_shifted_labels_is_refused(tmp_path):
    """It ends before its first step with DAT-063, whoever made the rows."""
    work = PlantedWork(tmp_path)
    with pytest.raises(InputError) as caught:
        start(work)

    assert caught.value.code == "DAT-063" and "shifted" in caught.value.what
    assert work.seen(StepDone) == []


def test_no_rows_have_no_fault():
    """One row of one token is looked at like any other; an empty batch has nothing to tell."""
    batch = batch_of()
    assert (
        faults_of(
            attrs.evolve(
                batch,
                **{
                    name: getattr(batch, name)[:1, :1]
                    for name in ("inputs", "targets", "loss_mask", "positions", "document_ids")
                },
            )
        )
        == []
    )
    with pytest.raises(InputError):
        require_sound(Rows(FAULTS["padding is learned"][0](batch)))


class Rows:
    """A batch as packed rows."""

    def __init__(self, batch):
        self.batch, self.num_rows, self.seq_len = batch, len(batch.inputs), SEQ_LEN

    def rows(self, start, count):
        """All of them."""
        return self.batch

    def num_supervised(self, start, count):
        """Supervised tokens."""
        return int(self.batch.loss_mask.sum())

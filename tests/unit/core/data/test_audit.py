"""The audit of rendered documents."""

from __future__ import annotations

import attrs
import numpy as np
import pytest

from codex_core.data.audit import Audit
from codex_core.data.bytes_tokenizer import BytesTokenizer
from codex_core.errors import InputError
from codex_core.records import Record, Turn, plain_text

BYTES = BytesTokenizer()
BOS, EOS = BYTES.special_ids["bos"], BYTES.special_ids["eos"]


def audited(*documents, **special):
    """An audit of (ids, mask) pairs."""
    audit = attrs.evolve(Audit.of(BYTES), **special)
    for number, (ids, mask) in enumerate(documents):
        audit.add(f"d{number}", ids, mask)
    return audit


def report(audit):
    return audit.report(decode=BYTES.decode)


def test_supervised_text_is_counted_and_shown():
    """Tokens, supervised ones and their share, and what they say, of the first documents."""
    turns = (Turn("prompt", "2+2=", learn=False), Turn("completion", "4"))
    chat = BYTES.render(Record(id="c", turns=turns, source=("c", 1)))
    plain = BYTES.render(plain_text("hey", id="p", source=("p", 1)))
    found = report(audited((chat.ids, chat.loss_mask), (plain.ids, plain.loss_mask)))

    assert found["preview"] == [{"id": "d0", "supervised": ["4"]}, {"id": "d1", "supervised": ["hey"]}]
    assert (found["documents"], found["tokens"]) == (2, len(chat.ids) + 5)
    assert found["supervised"] == 2 + 4
    assert found["supervised_share"] == f"{6 / found['tokens']:.4f}"
    assert [found[name] for name in ("missing_bos", "doubled_bos", "missing_eos", "doubled_eos")] == [0] * 4


FAULTS = {
    "missing_bos": [1, 2, EOS],
    "doubled_bos": [BOS, BOS, 1, EOS],
    "missing_eos": [BOS, 1, 2],
    "doubled_eos": [BOS, 1, EOS, EOS],
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_of_the_ends_is_counted_alone(name):
    """BOS and EOS that are missing or doubled; nothing else is said of such a document."""
    ids = FAULTS[name]
    found = report(audited((ids, [False, *[True] * (len(ids) - 1)])))

    assert {key: found[key] for key in FAULTS} == {key: int(key == name) for key in FAULTS}


def test_an_end_that_is_not_learned_is_told():
    """EOS without supervision after text with it: a model that never learns to stop (EOS taken for padding)."""
    found = report(audited(([BOS, 1, EOS], [False, True, False]), ([BOS, 1, EOS], [False, True, True])))

    assert found["unsupervised_eos"] == 1


def test_one_id_for_both_ends_is_no_double():
    """Where BOS and EOS are the same id, an empty text is two of them, and three are one too many."""
    found = report(audited(([7, 7], [False, True]), ([7, 7, 1, 7], [False] * 4), bos=7, eos=7))

    assert (found["doubled_bos"], found["doubled_eos"]) == (1, 0)


def test_a_document_without_ids_lacks_both_ends():
    """No id at all is neither BOS nor EOS."""
    found = report(audited(([], [])))

    assert (found["missing_bos"], found["missing_eos"], found["tokens"]) == (1, 1, 0)


def test_blocks_and_parts_give_what_documents_give():
    """Many documents at once, and audits merged in order, equal one by one; ids are asked for previews only."""
    rng = np.random.default_rng(3)
    documents = []
    for _ in range(50):
        ids = rng.choice([BOS, EOS, 65, 66], size=rng.integers(0, 6))
        documents.append((ids.tolist(), (rng.random(len(ids)) < 0.5).tolist()))
    one_by_one = report(audited(*documents))

    offsets = np.cumsum([0, *(len(ids) for ids, _ in documents)])
    flat = np.array([id for ids, _ in documents for id in ids], np.uint16)
    mask = np.array([learn for _, learns in documents for learn in learns], np.uint8)
    asked = []
    block = Audit.of(BYTES)
    block.add_block(lambda number: asked.append(number) or f"d{number}", flat, mask, offsets)
    assert report(block) == one_by_one
    assert asked == [0, 1, 2]

    merged = Audit.of(BYTES)
    for first, last in ((0, 2), (2, 50)):
        part = Audit.of(BYTES)
        for number in range(first, last):
            part.add(f"d{number}", *documents[number])
        merged.merge(part)
    assert report(merged) == one_by_one


@pytest.mark.parametrize(("name", "refused"), [(name, "bos" in name) for name in FAULTS])
def test_a_wrong_beginning_is_refused(name, refused):
    """A missing or doubled BOS ends preparation; what may be meant is only reported."""
    audit = audited((FAULTS[name], [True] * len(FAULTS[name])))

    if not refused:
        audit.refuse()
        return
    with pytest.raises(InputError) as caught:
        audit.refuse()
    assert caught.value.code == "DAT-014"

"""Harm checks A4 and A5: what is supervised is the completion, and all see the same ids."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from codex_core.data.bytes_tokenizer import BOS, EOS, BytesTokenizer
from codex_core.records import Record, Turn
from codex_core.rendering import prompt_ids
from tests.support.data_plans import make_plan
from tests.support.preparing import run

TOKENIZER = BytesTokenizer()

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@given(prompt=TEXTS, completion=TEXTS)
def test_a4_what_is_supervised_decodes_to_completion_and_end(prompt, completion):
    """Whatever stands at the border, the supervised ids are those of the completion, then EOS."""
    turns = (Turn("prompt", prompt, learn=False), Turn("completion", completion))
    encoded = TOKENIZER.render(Record(id="r", turns=turns, source=("r", 1)))

    supervised = [id for id, learned in zip(encoded.ids, encoded.loss_mask, strict=True) if learned]

    assert supervised == [*TOKENIZER.encode(completion), EOS]
    assert TOKENIZER.decode(supervised) == completion


def test_a5_training_evaluation_and_generation_see_the_same_ids(tmp_path):
    """Per document: rows of training, texts of evaluation and prompt of generation agree, with one BOS in front."""
    prepared = run(tmp_path, make_plan(("turns", {}), split=[1, 0, 0], seq_len=1024))
    rows = prepared.packed("train", seed=0)
    trained = set()
    batch = rows.rows(0, rows.num_rows)
    for inputs, targets, documents in zip(batch.inputs, batch.targets, batch.document_ids, strict=True):
        for piece in range(documents.max() + 1):
            here = np.flatnonzero(documents == piece)
            trained.add((*inputs[here].tolist(), int(targets[here[-1]])))

    records = list(prepared.documents("train"))
    texts = list(prepared.texts("train"))

    assert len(texts) == len(records) == 12
    for text, record in zip(texts, records, strict=True):
        ids = TOKENIZER.render(record).ids
        assert text.ids == ids and ids.count(BOS) == 1 and ids[0] == BOS
        assert ids in trained
        prompt = prompt_ids(TOKENIZER, record)
        assert ids[: len(prompt)] == prompt and 0 < len(prompt) < len(ids)

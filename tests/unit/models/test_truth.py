"""Truth tests: what a model was taught it repeats, and what it was not taught it does not.

Decision: rows hold one record each, padded with the id that also ends records, so that padding by id and padding by
position would differ; the tokenizer, the rendering and the generation are those of real runs.
"""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import pytest

from codex_core.contracts import RowBatch
from codex_core.data.bytes_tokenizer import BytesTokenizer
from codex_core.records import Encoded, GenerationSettings, Record, Turn
from codex_core.rendering import prompt_ids
from codex_models.options import DecoderOptions
from tests.support.decoders import options_for, train

pytestmark = pytest.mark.slow

TOKENIZER = BytesTokenizer()
EOS = TOKENIZER.special_ids["eos"]
SMALL = DecoderOptions(layers=2, width=64, heads=4)
STEPS = 120

_WORDS = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heron")


def records() -> list[Record]:
    """Thirty-two prompts, each with a completion of its own that nothing but memory can give."""
    rng = np.random.default_rng(7)
    lines = [" ".join(rng.choice(_WORDS, 3)) for _ in range(32)]
    return [
        Record(
            id=str(number),
            turns=(Turn("prompt", f"line {number:02}", learn=False), Turn("completion", line)),
            source=("lines", number + 1),
        )
        for number, line in enumerate(lines)
    ]


@attrs.frozen(kw_only=True, eq=False)
class RecordRows:
    """One record per row, in order, padded with EOS; `shuffled` gives each row its own targets in another order."""

    encoded: tuple[Encoded, ...]
    seq_len: int = 64
    shuffled: bool = False
    mask_eos: bool = False

    @property
    def num_rows(self) -> int:
        """One per record."""
        return len(self.encoded)

    def rows(self, start: int, count: int) -> RowBatch:
        """The rows at these positions."""
        rows = [self._row((start + index) % self.num_rows) for index in range(count)]
        return RowBatch(**{name: np.stack([row[name] for row in rows]) for name in rows[0]})

    def num_supervised(self, start: int, count: int) -> int:
        """Supervised tokens in these rows."""
        return int(self.rows(start, count).loss_mask.sum())

    def _row(self, number: int) -> dict[str, Any]:
        ids, mask = np.array(self.encoded[number].ids), np.array(self.encoded[number].loss_mask)
        rest = self.seq_len - (len(ids) - 1)
        targets, learned = ids[1:].copy(), mask[1:].copy()
        if self.mask_eos:
            learned &= targets != EOS
        if self.shuffled:
            order = np.random.default_rng(number).permutation(int(learned.sum()))
            targets[learned] = targets[learned][order]
        return {
            "inputs": np.pad(ids[:-1], (0, rest), constant_values=EOS),
            "targets": np.pad(targets, (0, rest), constant_values=EOS),
            "loss_mask": np.pad(learned, (0, rest)),
            "positions": np.pad(np.arange(len(ids) - 1), (0, rest)),
            "document_ids": np.pad(np.zeros(len(ids) - 1, np.int64), (0, rest), constant_values=-1),
        }


def taught(folder, **how: bool) -> tuple[float, list[tuple[str, str | None]]]:
    """The last loss of a training, and what greedy generation then says to each prompt, with why it ended."""
    held = records()
    said: list[tuple[str, str | None]] = []

    def evaluate(live, step):
        prompts = [list(prompt_ids(TOKENIZER, record)) for record in held]
        pieces: list[list[int]] = [[] for _ in prompts]
        ends: list[str | None] = [None] * len(prompts)
        settings = GenerationSettings(max_new_tokens=32, temperature=0.0, stop_ids=(EOS,))
        for chunk in live.generate(prompts, settings):
            pieces[chunk.index] += chunk.ids
            ends[chunk.index] = chunk.finish_reason or ends[chunk.index]
        said[:] = [(TOKENIZER.decode(ids), end) for ids, end in zip(pieces, ends, strict=True)]
        return {}

    trained = train(
        folder,
        options=options_for(batch_rows=16, lr=3e-3, optimizer="muon", muon_lr=2e-2),
        model=SMALL,
        rows=RecordRows(encoded=tuple(TOKENIZER.render(record) for record in held), **how),
        steps=STEPS,
        seq_len=64,
        vocab_size=TOKENIZER.vocab_size,
        evaluate=evaluate,
        evaluate_every=STEPS,
        log_every=STEPS // 10,
        durations={"trainer.warmup": 10},
    )
    return trained.of_kind("step")[-1].metrics["loss"], said


def test_overfitted_lines_are_repeated_and_end(tmp_path):
    """After a loss below 0.1 greedy generation repeats all 32 completions and stops by itself: EOS was learned."""
    loss, said = taught(tmp_path)
    assert loss < 0.1
    assert said == [(record.turns[1].text, "stop") for record in records()]


def test_shuffled_labels_are_not_repeated(tmp_path):
    """With targets in another order nothing of it comes out: the test above can fail."""
    _, said = taught(tmp_path, shuffled=True)
    right = [text == record.turns[1].text for (text, _), record in zip(said, records(), strict=True)]
    assert sum(right) == 0


def test_a6_eos_that_is_masked_as_padding_would_never_end(tmp_path):
    """Padding repeats EOS, and masking it by id instead of by position is the known harm: output does not end."""
    _, said = taught(tmp_path, mask_eos=True)
    assert all(end == "length" for _, end in said)


def test_a6_eos_is_supervised_and_padding_is_not():
    """In every row the end of the record is learned once, although all padding has the same id."""
    rows = RecordRows(encoded=tuple(TOKENIZER.render(record) for record in records()))
    for number in range(rows.num_rows):
        batch = rows.rows(number, 1)
        real = batch.document_ids[0] >= 0
        assert (batch.targets[0][batch.loss_mask[0]] == EOS).sum() == 1
        assert (batch.targets[0][~real] == EOS).all() and not batch.loss_mask[0][~real].any()

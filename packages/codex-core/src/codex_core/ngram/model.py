"""The n-gram as a model: its files, scoring and generation.

Decisions: the artefact is `ngram.json` (what it is) and `counts.safetensors` (the table); probabilities are derived
when it is opened, so the files hold integers only. There is no context limit: older tokens simply do not matter.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs
import blake3
import numpy as np

from codex_core.canonical import canonical_json
from codex_core.errors import CapabilityMissing, InputError
from codex_core.ngram import artefact, sampling, smoothing
from codex_core.ngram.counts import Counts
from codex_core.ngram.options import NgramOptions
from codex_core.records import GenerationChunk, GenerationSettings


class Ngram:
    """The target of the model `ngram`: builds an empty table, opens a finished one."""

    @staticmethod
    def build(options: NgramOptions, *, vocab_size: int, seed: int) -> Counts:
        """An empty table; nothing about it is random, so `seed` has no effect."""
        return Counts.empty(order=options.order, vocab_size=vocab_size)

    @staticmethod
    def open(path: Path, *, device: str = "cpu", dtype: str | None = None) -> NgramLanguageModel:
        """The model in the folder `path`, written by `artefact.files`."""
        _refuse_other_than_cpu(device, dtype)
        return from_counts(artefact.load(path))


@attrs.frozen(kw_only=True, eq=False)
class NgramLanguageModel:
    """A language model over a table of counts; see `codex_core.contracts.LanguageModel`."""

    order: int
    vocab_size: int
    probabilities: smoothing.KneserNey
    digest: str
    context_length: None = None

    def loglikelihood(self, token_rows: Sequence[Sequence[int]]) -> list[list[float]]:
        """Natural-log probabilities of all tokens of a row but the first."""
        for number, row in enumerate(token_rows):
            _check_row(row, number, self.vocab_size)
        lengths = np.array([len(row) for row in token_rows], dtype=np.int64)
        flat = np.array([token for row in token_rows for token in row], dtype=np.int64)
        place = np.arange(len(flat)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        scored = np.flatnonzero(place > 0)
        contexts = np.full((len(scored), self.order - 1), self.vocab_size, dtype=np.int32)
        for back in range(self.order - 1):
            inside = place[scored] > back
            contexts[inside, back] = flat[scored[inside] - 1 - back]
        logs = self.probabilities.log_probabilities(contexts, flat[scored])
        ends = np.cumsum(lengths - 1)[:-1]
        return [part.tolist() for part in np.split(logs, ends)] if len(token_rows) else []

    def generate(
        self, prompts: Sequence[Sequence[int]], settings: GenerationSettings
    ) -> Iterator[GenerationChunk]:
        """Continue each prompt in turn, one chunk per token; chance is seeded per prompt number."""
        for number, prompt in enumerate(prompts):
            if len(prompt):
                _check_row(prompt, number, self.vocab_size)
            yield from sampling.continue_prompt(
                number, prompt, settings, reach=self.order - 1, distribution=self.probabilities.distribution
            )

    def fingerprint(self) -> str:
        """`blake3:<hex>` over order, vocabulary and counts."""
        return self.digest


def from_counts(counts: Counts) -> NgramLanguageModel:
    """The language model of everything counted so far."""
    probabilities = smoothing.estimate(counts)
    hasher = blake3.blake3(canonical_json({"order": counts.order, "vocab_size": counts.vocab_size}))
    hasher.update(counts.keys.astype("<i4").tobytes())
    hasher.update(counts.counts.astype("<i8").tobytes())
    return NgramLanguageModel(
        order=counts.order,
        vocab_size=counts.vocab_size,
        probabilities=probabilities,
        digest=f"blake3:{hasher.hexdigest()}",
    )


def _check_row(row: Sequence[int], number: int, vocab_size: int) -> None:
    if not len(row):
        raise InputError(
            code="NGM-001",
            what=f"row {number} has no token",
            why="the first token of a row is context, so a row holds at least one",
            fix="begin each row with the tokenizer's BOS",
        )
    if min(row) < 0 or max(row) >= vocab_size:
        raise InputError(
            code="NGM-002",
            what=f"row {number} holds an id outside the model's vocabulary of {vocab_size}",
            why=f"its ids reach from {min(row)} to {max(row)}; was it encoded by another tokenizer?",
            fix="encode with the tokenizer that is stored in the checkpoint",
        )


def _refuse_other_than_cpu(device: str, dtype: str | None) -> None:
    if device != "cpu":
        raise CapabilityMissing(
            code="NGM-003",
            what=f"the n-gram model cannot use device {device!r}",
            why="it is a table of counts that NumPy reads",
            fix="leave the device out, or say cpu",
        )
    if dtype not in (None, "float64"):
        raise CapabilityMissing(
            code="NGM-003",
            what=f"the n-gram model cannot compute in {dtype!r}",
            why="its probabilities are float64, derived from integer counts",
            fix="leave the dtype out, or say float64",
        )

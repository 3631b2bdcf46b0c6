"""The n-gram's files, scoring and generation."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from codex_core.errors import ArtefactError, CapabilityMissing, InputError
from codex_core.ngram import artefact
from codex_core.ngram.counts import Counts
from codex_core.ngram.memory import estimate
from codex_core.ngram.model import Ngram, from_counts
from codex_core.ngram.options import NgramOptions
from codex_core.records import GenerationSettings
from codex_core.testing.shell import SmallRows, small_lock
from tests.support.ngrams import ORDER, VOCAB, counted, documents


@pytest.fixture(scope="module")
def table():
    """A table of 40 short documents."""
    return counted(documents(40, seed=7))


@pytest.fixture
def saved(table, tmp_path):
    """The table's files in a folder."""
    for name, write in artefact.files(table).items():
        write(tmp_path / name)
    return tmp_path


def test_rows_score_as_the_distribution_says(table):
    """A row's log-probabilities are those of its tokens after all earlier ones; the first token has none."""
    model = from_counts(table)
    rows = [documents(1, seed=8)[0][:9], [3], [0, 1], [11, 11, 11, 11, 11]]
    for row, found in zip(rows, model.loglikelihood(rows), strict=True):
        wanted = [
            math.log(model.probabilities.distribution(row[max(0, end - ORDER + 1) : end])[row[end]])
            for end in range(1, len(row))
        ]
        assert found == pytest.approx(wanted, abs=1e-12)


def test_untrained_model_has_perplexity_of_its_vocabulary():
    """A model that counted nothing gives each token the probability 1 / vocabulary."""
    model = from_counts(Ngram.build(NgramOptions(), vocab_size=64, seed=1))
    assert model.loglikelihood([[0, 5, 9]]) == [[-math.log(64)] * 2]


def test_saved_model_is_the_same(table, saved):
    """What was saved and opened again has the same fingerprint and numbers."""
    model, opened = from_counts(table), Ngram.open(saved)
    row = documents(1, seed=9)[0]
    assert opened.fingerprint() == model.fingerprint()
    assert opened.loglikelihood([row]) == model.loglikelihood([row])


def test_fingerprint_tells_counts_apart(table):
    """One more event gives another fingerprint."""
    more = artefact_copy(table)
    more.add(np.array([[1, 2, 3, 4]], dtype=np.int32))
    assert from_counts(more).fingerprint() != from_counts(table).fingerprint()


def artefact_copy(table):
    """An equal table of its own."""
    return Counts(order=table.order, vocab_size=table.vocab_size, keys=table.keys, counts=table.counts)


@pytest.mark.parametrize("vocab_size", [60_000, 65_535, 65_536, 200_000])
def test_ids_survive_in_their_width(vocab_size, tmp_path):
    """Ids up to the border are stored without loss, in two bytes where they fit."""
    table = Counts.empty(order=2, vocab_size=vocab_size)
    table.add(np.array([[vocab_size, vocab_size - 1], [vocab_size - 1, 0]], dtype=np.int32))
    for name, write in artefact.files(table).items():
        write(tmp_path / name)
    assert np.array_equal(artefact.load(tmp_path).keys, table.keys)


def test_damaged_files_are_refused(saved):
    """A truncated table, a missing file and a table that disagrees with its description raise NGM-004, exit 7."""
    description = json.loads((saved / artefact.DESCRIPTION).read_text())
    whole = (saved / artefact.TABLE).read_bytes()

    def refused():
        with pytest.raises(ArtefactError) as caught:
            Ngram.open(saved)
        assert caught.value.code == "NGM-004" and caught.value.exit_code == 7
        return caught.value.why

    (saved / artefact.TABLE).write_bytes(whole[:-9])
    refused()
    (saved / artefact.TABLE).write_bytes(whole)
    for change in ({"order": 3}, {"tokens": 1}, {"vocab_size": 2}):
        (saved / artefact.DESCRIPTION).write_text(json.dumps(description | change))
        refused()
    for text in ("{}", "no json", json.dumps(description | {"order": "4"})):
        (saved / artefact.DESCRIPTION).write_text(text)
        refused()
    (saved / artefact.DESCRIPTION).unlink()
    assert "FileNotFoundError" in refused()


@pytest.mark.parametrize("choice", [{"device": "cuda"}, {"dtype": "bfloat16"}])
def test_other_devices_are_refused(saved, choice):
    """Anything but the CPU in float64 raises NGM-003, exit 6, instead of being ignored."""
    with pytest.raises(CapabilityMissing) as caught:
        Ngram.open(saved, **choice)
    assert caught.value.code == "NGM-003" and caught.value.exit_code == 6


@pytest.mark.parametrize(
    ("rows", "code"), [([[1], []], "NGM-001"), ([[0, VOCAB]], "NGM-002"), ([[-1]], "NGM-002")]
)
def test_impossible_rows_are_refused(table, rows, code):
    """Empty rows and ids outside the vocabulary are errors with the row's number, not numbers."""
    with pytest.raises(InputError) as caught:
        from_counts(table).loglikelihood(rows)
    assert caught.value.code == code and f"row {len(rows) - 1}" in caught.value.what


def continued(model, prompt, **settings):
    """The ids that continue one prompt."""
    chunks = model.generate([prompt], GenerationSettings(**settings))
    return [token for chunk in chunks for token in chunk.ids]


def test_greedy_takes_the_most_probable(table):
    """Temperature 0 continues with the argmax of each distribution."""
    model = from_counts(table)
    known = [0, 1]
    for token in continued(model, known, max_new_tokens=6, temperature=0.0):
        assert token == np.argmax(model.probabilities.distribution(known[-3:]))
        known.append(token)


def test_sampling_follows_the_distribution(table):
    """4,000 first tokens, seeded one by one, come as often as their probabilities say."""
    model = from_counts(table)
    wanted = model.probabilities.distribution([0, 1])
    draws = 4000
    counts = np.zeros(VOCAB)
    for chunk in model.generate([[0, 1]] * draws, GenerationSettings(max_new_tokens=1, seed=5)):
        counts[list(chunk.ids)] += 1
    deviation = np.sqrt(draws * wanted * (1 - wanted))
    assert np.all(np.abs(counts - draws * wanted) < 4.5 * deviation + 1)  # 12 numbers, fixed seed


def test_prompts_do_not_share_chance(table):
    """The same prompt under another number continues differently, and the same number the same."""
    model = from_counts(table)
    settings = GenerationSettings(max_new_tokens=20, seed=1)
    ids = [[], []]
    for chunk in model.generate([[0], [0]], settings):
        ids[chunk.index].extend(chunk.ids)
    assert ids[0] != ids[1]
    assert ids[0] == continued(model, [0], max_new_tokens=20, seed=1)


@pytest.mark.parametrize(("limits", "allowed"), [({"top_k": 2}, 2), ({"top_p": 1e-9}, 1)])
def test_limits_leave_the_most_probable(table, limits, allowed):
    """top_k and top_p leave only the first tokens in falling order of probability."""
    model = from_counts(table)
    best = np.argsort(-model.probabilities.distribution([0]), kind="stable")[:allowed]
    chunks = model.generate([[0]] * 200, GenerationSettings(max_new_tokens=1, seed=2, **limits))
    assert {token for chunk in chunks for token in chunk.ids} == set(best.tolist())


def test_memory_is_bounded_by_an_epoch():
    """The estimate grows with the tokens of one epoch, not with epochs."""
    data = SmallRows(documents=documents(10, seed=1), seq_len=31)
    once = small_lock(data, vocab_size=VOCAB, steps=5, batch_rows=2)
    twice = small_lock(data, vocab_size=VOCAB, steps=10, batch_rows=2)
    assert estimate(NgramOptions(), once) == estimate(NgramOptions(), twice)
    assert estimate(NgramOptions(), once).total > 310 * 5 * 8

"""The runner: numbers of whole splits, from models whose probabilities are known."""

from __future__ import annotations

import itertools
import lzma
import math

import pytest

from codex_core.errors import InputError, RunFailed, UsageError
from codex_core.evaluation import compression
from codex_core.evaluation.metrics import BitsPerByte, Perplexity, TokenStats
from codex_core.evaluation.options import MetricOptions
from codex_core.evaluation.runner import evaluate_split, rows_of
from codex_core.events import ProgressMade, Warned
from tests.support.fakes import CountingMetric, GuessingModel, NoOptions, TablePrepared

TEXTS = ["one two three", "", "a", "four " * 30, "five and six"]
VOCAB = 200


def encode(text):
    """Ids 2.. from code points."""
    return [ord(character) for character in text]


def prepared(texts=TEXTS):
    """A prepared set whose test split holds `texts`."""
    return TablePrepared(splits={"test": texts, "empty": []}, encode=encode)


def metrics():
    """Fresh metrics."""
    return [BitsPerByte(MetricOptions()), Perplexity(MetricOptions()), TokenStats(MetricOptions())]


def evaluated(model, **settings):
    """The values over the test split."""
    return evaluate_split(model, prepared(), "test", metrics=metrics(), **settings)


def test_uniform_model_has_perplexity_of_its_vocabulary():
    """A model that knows nothing scores exactly its vocabulary size."""
    values = evaluated(GuessingModel(vocab_size=VOCAB))
    num_tokens = sum(len(text) + 1 for text in TEXTS)
    num_bytes = sum(map(len, TEXTS))
    assert values["perplexity"].value == pytest.approx(VOCAB)
    assert values["perplexity"].count == num_tokens
    assert values["bits_per_byte"].value == pytest.approx(num_tokens * math.log2(VOCAB) / num_bytes)
    assert values["token_stats"].value == pytest.approx(num_bytes / num_tokens)


def test_oracle_has_perplexity_of_one():
    """A model that is all but sure of each next token scores just above 1."""
    text = "abcdefgh"
    ids = [0, *encode(text), 1]
    oracle = GuessingModel(vocab_size=VOCAB, after=dict(itertools.pairwise(ids)), confidence=1 - 1e-9)
    values = evaluate_split(oracle, prepared([text, text]), "test", metrics=metrics())
    assert 1 <= values["perplexity"].value < 1 + 1e-6


def test_windows_equal_one_pass_where_the_text_fits():
    """A context that holds the longest text gives the same numbers as no limit at all."""
    longest = max(map(len, TEXTS)) + 2
    unlimited = evaluated(GuessingModel(vocab_size=VOCAB, after={0: 111}))
    limited = evaluated(GuessingModel(vocab_size=VOCAB, after={0: 111}, context_length=longest))
    assert {name: value.value for name, value in limited.items()} == {
        name: value.value for name, value in unlimited.items()
    }


@pytest.mark.parametrize("stride", [None, 1, 5, 7])
def test_windows_give_the_direct_pass_of_a_short_memory(stride):
    """For a model that looks at one token only, any window and stride gives the numbers of a direct pass."""
    after = {ord("o"): ord("n"), ord("n"): ord("e")}
    direct = evaluated(GuessingModel(vocab_size=VOCAB, after=after))
    rolled = evaluated(GuessingModel(vocab_size=VOCAB, after=after, context_length=8), stride=stride)
    for name, value in direct.items():
        assert rolled[name].value == value.value and rolled[name].count == value.count


def test_batches_change_nothing_and_stay_small():
    """Batches hold at most the asked tokens, padding included, and change no number."""
    model = GuessingModel(vocab_size=VOCAB, after={97: 98}, context_length=16)
    small = evaluated(model, batch_tokens=40)
    assert max(len(batch) * max(map(len, batch)) for batch in model.asked) <= 40
    assert small == evaluated(GuessingModel(vocab_size=VOCAB, after={97: 98}, context_length=16))


def test_many_documents_keep_their_order():
    """More documents than one chunk are each scored with their own numbers."""
    seen = []

    class Recorder(CountingMetric):
        needs = "loglikelihood"

        def update(self, scored):
            super().update(scored)
            seen.append((scored.id, len(scored.logprobs)))

    texts = ["x" * (number % 17) for number in range(600)]
    events = []
    values = evaluate_split(
        GuessingModel(vocab_size=VOCAB, context_length=8),
        prepared(texts),
        "test",
        metrics=[Recorder(NoOptions())],
        on_event=events.append,
    )
    assert seen == [(str(number), number % 17 + 1) for number in range(600)]
    assert values["texts"].value == 600
    assert [event.done for event in events if isinstance(event, ProgressMade)] == [256, 512, 600]


def test_signature_holds_the_rule():
    """A value's signature names how the text was conditioned, cut and limited."""
    value = evaluated(GuessingModel(vocab_size=VOCAB, context_length=8), max_documents=2)["perplexity"]
    assert value.signature == (
        "perplexity|per:scored token|sums:float64|first token:context|window:8|stride:4|documents:first 2"
    )


def test_max_documents_takes_the_first():
    """Only the first documents are read."""
    values = evaluated(GuessingModel(vocab_size=VOCAB), max_documents=1)
    assert values["perplexity"].count == len(TEXTS[0]) + 1


def test_model_is_not_asked_for_nothing():
    """Metrics that need tokens only cost no forward pass."""
    model = GuessingModel(vocab_size=VOCAB)
    evaluate_split(model, prepared(), "test", metrics=[TokenStats(MetricOptions())])
    assert model.asked == []


def test_empty_split_is_an_error():
    """A split without documents raises EVL-001, exit 4."""
    with pytest.raises(InputError) as caught:
        evaluate_split(GuessingModel(vocab_size=VOCAB), prepared(), "empty", metrics=metrics())
    assert caught.value.code == "EVL-001" and caught.value.exit_code == 4


def test_failing_metric_is_set_aside():
    """A metric that raises is reported once with its reason, and the others give their numbers."""

    class Failing(CountingMetric):
        name = "failing"

        def update(self, scored):
            raise ZeroDivisionError("on purpose")

    events = []
    values = evaluate_split(
        GuessingModel(vocab_size=VOCAB),
        prepared(),
        "test",
        metrics=[Failing(NoOptions()), CountingMetric(NoOptions())],
        on_event=events.append,
    )
    warnings = [event for event in events if isinstance(event, Warned)]
    assert list(values) == ["texts"] and len(warnings) == 1
    assert warnings[0].code == "EVL-007" and "ZeroDivisionError: on purpose" in warnings[0].text
    with pytest.raises(RunFailed) as caught:
        evaluate_split(GuessingModel(vocab_size=VOCAB), prepared(), "test", metrics=[Failing(NoOptions())])
    assert caught.value.code == "EVL-004"


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (lambda rows: [[-1.0] * len(row) for row in rows], "another number"),
        (lambda rows: [[-1.0] * (len(row) - 1) for row in rows[1:]], "another number"),
        (lambda rows: [[math.nan] * (len(row) - 1) for row in rows], "nan"),
        (lambda rows: [[0.7] * (len(row) - 1) for row in rows], "0.7"),
    ],
)
def test_numbers_that_are_no_probabilities_stop_the_evaluation(found, says):
    """Too many, too few, NaN or positive numbers from a model raise EVL-003 and give no metric."""
    model = GuessingModel(vocab_size=VOCAB)
    model_class = type("Wrong", (GuessingModel,), {"loglikelihood": lambda self, rows: found(rows)})
    with pytest.raises(RunFailed, match=says) as caught:
        evaluated(model_class(vocab_size=model.vocab_size))
    assert caught.value.code == "EVL-003"


def test_unusable_choices_of_metrics_are_refused():
    """Metrics that need prompts, metrics chosen twice and no metric at all are usage errors."""

    class Generating(CountingMetric):
        needs = "generation"

    for chosen, code in (
        ([Generating(NoOptions())], "EVL-002"),
        ([], "EVL-002"),
        ([CountingMetric(NoOptions()), CountingMetric(NoOptions())], "EVL-006"),
    ):
        with pytest.raises(UsageError) as caught:
            evaluate_split(GuessingModel(vocab_size=VOCAB), prepared(), "test", metrics=chosen)
        assert caught.value.code == code


def test_values_make_a_metric_row():
    """An evaluation becomes one row of the form that training rows have."""
    values = evaluated(GuessingModel(vocab_size=VOCAB))
    (row,) = rows_of(values, step=7, split="test")
    assert list(row) == ["step", "split", "bits_per_byte", "perplexity", "token_stats"]
    assert row["step"] == 7 and row["perplexity"] == values["perplexity"].value


def test_xz_counts_the_bytes_of_texts():
    """xz alone equals the size of the joined texts' archive over their bytes."""
    joined = "\n".join(["abc" * 50, "déf" * 50]).encode()
    size = len(lzma.compress(joined, format=lzma.FORMAT_XZ, preset=9 | lzma.PRESET_EXTREME))
    assert compression.xz_bits_per_byte(["abc" * 50, "déf" * 50]) == 8 * size / (len(joined) - 1)


def test_primed_xz_profits_from_known_text():
    """A text that stands in the primer costs far less than alone, and a strange one does not."""
    known = "".join(chr(97 + (7 * place * place) % 26) for place in range(3000))
    alone = compression.xz_bits_per_byte([known])
    assert compression.xz_bits_per_byte([known], primer=["intro", known]) < alone / 2
    assert compression.xz_bits_per_byte(["#!?" * 9], primer=[known]) > 0


def test_xz_of_nothing_is_an_error():
    """Texts without bytes have no bits per byte."""
    with pytest.raises(InputError) as caught:
        compression.xz_bits_per_byte(["", ""])
    assert caught.value.code == "EVL-001"

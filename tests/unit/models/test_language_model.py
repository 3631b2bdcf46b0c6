"""A decoder as evaluation and generation see it."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from codex_core.errors import InputError
from codex_core.records import GenerationSettings
from codex_models.decoding import Weights
from codex_models.live import TorchLanguageModel
from codex_models.sampling import choose
from tests.support.decoders import VOCAB_SIZE, decoder, one_document

GREEDY = GenerationSettings(max_new_tokens=9, temperature=0.0)


def _rows(*lengths: int) -> list[list[int]]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(0, VOCAB_SIZE, (length,), generator=generator).tolist() for length in lengths]


def _language_model(context_length: int | None = None) -> TorchLanguageModel:
    model = decoder()
    model.context_length = context_length
    return TorchLanguageModel(model)


def _continuations(language_model, prompts, settings=GREEDY) -> list[list[int]]:
    found: list[list[int]] = [[] for _ in prompts]
    for chunk in language_model.generate(prompts, settings):
        found[chunk.index].extend(chunk.ids)
    return found


def test_loglikelihood_equals_log_softmax_of_logits():
    """Scores are the natural-log probabilities of each next token, one less than the row is long."""
    language_model = _language_model()
    rows = _rows(6, 1, 3)
    found = language_model.loglikelihood(rows)
    assert [len(values) for values in found] == [5, 0, 2]
    ids = torch.tensor([rows[0]])
    with torch.no_grad():
        logits = language_model.model.head(language_model.model.hidden(*one_document(ids)))
    expected = logits[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None])[:, 0]
    assert found[0] == pytest.approx(expected.tolist(), abs=1e-5)
    assert language_model.loglikelihood([]) == []


def test_scores_do_not_depend_on_the_batch():
    """Any company in the batch, shorter or longer, leaves a row's scores within 1e-5 of those it has alone."""
    language_model = _language_model()
    rows = _rows(3, 40, 7, 2, 40, 19)
    together = language_model.loglikelihood(rows)
    for row, values in zip(rows, together, strict=True):
        assert language_model.loglikelihood([row])[0] == pytest.approx(values, abs=1e-5)


def test_many_long_rows_are_scored_in_several_batches(monkeypatch):
    """Cutting the work into batches changes no score beyond rounding and loses no row."""
    language_model = _language_model()
    rows = _rows(*range(2, 30))
    whole = language_model.loglikelihood(rows)
    monkeypatch.setattr("codex_models.live._TOKENS_AT_ONCE", 50)
    for values, expected in zip(language_model.loglikelihood(rows), whole, strict=True):
        assert values == pytest.approx(expected, abs=1e-5)


def test_scoring_leaves_a_model_in_training_as_it_was():
    """Scoring uses no random numbers and puts mode and arithmetic back."""
    language_model = _language_model()
    model = language_model.model
    model.train()
    model.compute_dtype = torch.bfloat16
    state = torch.get_rng_state()
    language_model.loglikelihood(_rows(5))
    _continuations(language_model, _rows(2))
    assert model.training
    assert model.compute_dtype is torch.bfloat16
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("rows", [[[1] * 9], [[0, VOCAB_SIZE]], [[0, -1]]])
def test_rows_that_do_not_fit_are_refused(rows):
    """A row longer than the context or with an id that does not exist is an input error naming the row."""
    language_model = _language_model(context_length=8)
    with pytest.raises(InputError, match="row 0"):
        language_model.loglikelihood(rows)
    with pytest.raises(InputError, match="prompt 0"):
        language_model.generate(rows, GREEDY)
    with pytest.raises(InputError, match="prompt 0 is empty"):
        language_model.generate([[]], GREEDY)


def test_cached_generation_equals_reading_everything_again():
    """Greedy continuations with the cache equal those of full forward passes, and so do the logits (1e-5)."""
    language_model = _language_model()
    model = language_model.model
    for prompt in _rows(1, 5, 11):
        read = list(prompt)
        with torch.no_grad():
            for _ in range(GREEDY.max_new_tokens):
                logits = model.head(model.hidden(*one_document(torch.tensor([read]))))[0, -1]
                read.append(int(logits.argmax()))
        assert _continuations(language_model, [prompt])[0] == read[len(prompt) :]


def test_cached_logits_equal_full_logits():
    """The logits from which generation chooses differ from those of a full pass by less than 1e-5."""
    language_model = _language_model()
    model, prompts, continued = language_model.model, _rows(3, 8), _rows(9, 9)
    reading = language_model.reading(24)
    seen = [reading.read_prompts(prompts)]
    seen += [reading.read_tokens(list(tokens)) for tokens in zip(*continued, strict=True)]
    for number, prompt in enumerate(prompts):
        ids = torch.tensor([prompt + continued[number]])
        with torch.no_grad():
            logits = model.head(model.hidden(*one_document(ids)))[0]
        for step, found in enumerate(seen):
            torch.testing.assert_close(found[number], logits[len(prompt) + step - 1], rtol=0, atol=1e-5)


def test_an_opened_decoder_continues_like_a_live_one():
    """The fast way to read gives the greedy continuations of the module as it is, rows of any length together."""
    live = _language_model(context_length=32)
    prompts = _rows(1, 12, 5, 11)
    expected = _continuations(live, prompts)
    frozen = decoder()
    frozen.context_length = 32
    frozen.prepare_for_inference(torch.float32)
    opened = TorchLanguageModel(frozen, weights=partial(Weights, frozen))
    assert _continuations(opened, prompts) == expected
    assert [_continuations(opened, [prompt])[0] for prompt in prompts] == expected


def test_greedy_continuations_do_not_depend_on_the_batch():
    """Prompts of different length continue as they do alone, also when rows end at different times."""
    language_model = _language_model(context_length=12)
    prompts = _rows(1, 12, 5, 11)
    together = _continuations(language_model, prompts)
    assert [len(ids) for ids in together] == [9, 1, 8, 2]
    assert together == [_continuations(language_model, [prompt])[0] for prompt in prompts]


def test_generation_ends_each_prompt_once_with_a_reason():
    """A stop id ends a row with `stop` and is not part of it; otherwise the reason is `length`."""
    language_model = _language_model()
    prompts = _rows(2, 4, 6)
    stop = _continuations(language_model, prompts)[0][3]
    chunks = list(
        language_model.generate(
            prompts, GenerationSettings(max_new_tokens=9, temperature=0.0, stop_ids=(stop,))
        )
    )
    reasons = {chunk.index: chunk.finish_reason for chunk in chunks if chunk.finish_reason}
    assert sum(chunk.finish_reason is not None for chunk in chunks) == 3
    assert reasons[0] == "stop"
    assert all(stop not in chunk.ids for chunk in chunks)
    none = list(language_model.generate(prompts[:1], GenerationSettings(max_new_tokens=0)))
    assert [(chunk.ids, chunk.finish_reason) for chunk in none] == [((), "length")]


def test_sampling_is_repeatable_and_prompts_are_independent():
    """A seed fixes the samples; equal prompts of a batch differ; a prompt's sample ignores its company."""
    language_model = _language_model()
    settings = GenerationSettings(max_new_tokens=12, temperature=2.0, seed=3)
    prompts = [[1, 2], [1, 2], [5]]
    first = _continuations(language_model, prompts, settings)
    assert _continuations(language_model, prompts, settings) == first
    assert first[0] != first[1]
    assert _continuations(language_model, prompts[:1], settings)[0] == first[0]
    other = GenerationSettings(max_new_tokens=12, temperature=2.0, seed=4)
    assert _continuations(language_model, prompts, other) != first


def test_top_k_and_top_p_keep_what_they_say():
    """Only the k likeliest, or the fewest tokens that reach p, are ever drawn, in the right proportions."""
    logits = torch.tensor([0.1, 0.4, 0.2, 0.3]).log()
    sampler = torch.Generator().manual_seed(0)

    def drawn(**changes: float) -> dict[int, float]:
        settings = GenerationSettings(**({"temperature": 1.0} | changes))
        tokens = [choose(logits, settings, sampler) for _ in range(600)]
        return {token: tokens.count(token) / 600 for token in set(tokens)}

    assert set(drawn(top_k=1)) == {1}
    assert set(drawn(top_k=2)) == {1, 3}
    assert set(drawn(top_p=0.39)) == {1}
    assert set(drawn(top_p=0.69)) == {1, 3}
    assert set(drawn(top_p=0.75)) == {1, 2, 3}
    assert drawn()[1] == pytest.approx(0.4, abs=0.06)
    assert drawn(temperature=0.5)[1] == pytest.approx(0.16 / 0.30, abs=0.06)
    assert choose(logits, GenerationSettings(temperature=0.0), sampler) == 1

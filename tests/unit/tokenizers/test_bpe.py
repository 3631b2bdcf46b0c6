"""The tokenizer `bpe`: lossless, repeatable, indifferent to look-alikes of its special tokens."""

from __future__ import annotations

import pickle
import pydoc_data.topics
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_core.contracts import Tokenizer, TokenizerClass
from codex_core.errors import InputError, UsageError
from codex_core.records import Record, Turn, plain_text
from codex_tokenizers.bpe import BPE, SPECIAL_TOKENS
from codex_tokenizers.options import SMALLEST_VOCABULARY, BPEOptions

TEXTS = [pydoc_data.topics.topics[name] for name in sorted(pydoc_data.topics.topics)[:12]]

#: Texts with everything that tokenizers are known to lose: signs, blanks, combining marks, look-alikes.
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"])) | st.lists(
    st.sampled_from(
        [
            "é",
            "e\u0301",
            "🚀",
            "👩‍🚀",
            "\u200b",
            "  ",
            "\n\t ",
            "\r\n",
            "don't",
            "12345",
            *SPECIAL_TOKENS.values(),
        ]
    )
).map("".join)


@pytest.fixture(scope="module")
def bpe() -> BPE:
    """A tokenizer of 600 ids over some pages of the language reference."""
    return BPE.train(TEXTS, BPEOptions(vocab_size=600), seed=0)


def test_the_class_and_its_objects_keep_the_contract(bpe):
    """What the registry loads offers every name of the tokenizer protocols."""
    assert isinstance(BPE, TokenizerClass)
    assert isinstance(bpe, Tokenizer)
    assert bpe.vocab_size == 600
    assert dict(bpe.special_ids) == {"bos": 0, "eos": 1, "pad": 2}


@given(text=ANY_TEXT)
@settings(max_examples=200)
def test_decode_inverts_encode_for_every_text(bpe, text):
    """No character is changed, dropped or added on the way through ids, and no id is outside the vocabulary."""
    ids = bpe.encode(text)

    assert bpe.decode(ids) == text
    assert all(len(SPECIAL_TOKENS) <= i < bpe.vocab_size for i in ids)


@given(text=ANY_TEXT)
@settings(max_examples=200)
def test_offsets_cover_the_text_in_code_points(bpe, text):
    """Spans rise, leave no gap, and each holds the text of the tokens that share it."""
    ids, offsets = bpe.encode_with_offsets(text)

    assert ids == bpe.encode(text)
    assert "".join(text[a:b] for a, b in dict.fromkeys(offsets)) == text
    assert offsets == sorted(offsets)
    for span in dict.fromkeys(offsets):
        shared = [i for i, other in zip(ids, offsets, strict=True) if other == span]
        assert bpe.decode(shared) == text[slice(*span)]


@given(texts=st.lists(ANY_TEXT, max_size=5))
@settings(max_examples=50)
def test_a_batch_holds_what_single_calls_give(bpe, texts):
    """Many texts at once have the ids of each text alone."""
    assert bpe.encode_many(texts) == [bpe.encode(text) for text in texts]


def test_special_tokens_in_text_are_text_unless_allowed(bpe):
    """A document cannot smuggle in an end of text; a caller who means it can."""
    text = f"a{SPECIAL_TOKENS['eos']}b"

    assert bpe.special_ids["eos"] not in bpe.encode(text)
    assert bpe.decode(bpe.encode(text)) == text
    assert bpe.encode(text, allow_special=True) == [
        *bpe.encode("a"),
        bpe.special_ids["eos"],
        *bpe.encode("b"),
    ]


def test_decode_gives_nothing_for_special_ids(bpe):
    """Special ids stand for no text, wherever they are."""
    ids = [bpe.special_ids["bos"], *bpe.encode("naïve"), bpe.special_ids["eos"], bpe.special_ids["pad"]]

    assert bpe.decode(ids) == "naïve"


def test_decode_refuses_ids_of_another_vocabulary(bpe):
    """An id that is not in the vocabulary is an error, not silence."""
    for outside in (-1, bpe.vocab_size):
        with pytest.raises(InputError) as caught:
            bpe.decode([5, outside])
        assert caught.value.code == "TOK-003"


def test_batches_are_cut_and_padded_with_a_mask(bpe):
    """Rows have one width, zeros of the mask stand on padding alone, and cut rows are prefixes."""
    long, short = "one two three four five six", "one"
    batch = bpe.encode_batch([long, short], max_length=4, pad_to=6)

    assert batch.ids[0][:4] == tuple(bpe.encode(long)[:4])
    assert batch.attention_mask[0] == (1, 1, 1, 1, 0, 0)
    assert batch.ids[0][4:] == (bpe.special_ids["pad"],) * 2
    count = len(bpe.encode(short))
    assert batch.attention_mask[1] == (1,) * count + (0,) * (6 - count)
    assert {len(row) for row in bpe.encode_batch([long, short]).ids} == {len(bpe.encode(long))}
    assert bpe.encode_batch([]).ids == ()


def test_padding_never_cuts(bpe):
    """A text that is longer than `pad_to` is refused with the option that would cut it."""
    with pytest.raises(UsageError, match="does not fit") as caught:
        bpe.encode_batch(["one two three four"], pad_to=2)
    assert caught.value.code == "TOK-004"


def test_plain_text_renders_between_bos_and_eos(bpe):
    """A plain record is BOS, its ids, EOS; all but BOS are learned, and offsets point into the text."""
    rendered = bpe.render(plain_text("Grüße", id="a", source=("a.txt", 1)))

    assert rendered.text == "Grüße"
    assert rendered.ids == (0, *bpe.encode("Grüße"), 1)
    assert rendered.loss_mask == (False, *(True,) * (len(rendered.ids) - 1))
    assert rendered.offsets[0] == (0, 0)
    assert rendered.offsets[-1] == (5, 5)


def test_turns_render_with_roles_that_are_not_learned(bpe):
    """What is supervised are the texts of learned turns and the EOS that closes each, nothing else."""
    turns = (Turn("user", "Say hi", learn=False), Turn("assistant", "hi"))
    rendered = bpe.render(Record(id="a", turns=turns, source=("a", 1)))
    learned = [i for i, learn in zip(rendered.ids, rendered.loss_mask, strict=True) if learn]

    assert rendered.text == "user:\nSay hi\nassistant:\nhi"
    assert learned == [*bpe.encode("hi"), bpe.special_ids["eos"]]
    assert rendered.ids.count(bpe.special_ids["eos"]) == 2
    assert bpe.decode(rendered.ids) == rendered.text
    spans = [
        rendered.text[a:b]
        for (a, b), learn in zip(rendered.offsets, rendered.loss_mask, strict=True)
        if learn
    ]
    assert "".join(spans) == "hi"


def test_a_template_is_refused_by_name(bpe):
    """There is no chat template in this artefact, and saying so beats ignoring the wish."""
    with pytest.raises(UsageError, match="no chat template 'chatml'") as caught:
        bpe.render(plain_text("x", id="a", source=("a", 1)), template="chatml")
    assert caught.value.code == "TOK-005"


def test_texts_without_content_teach_nothing():
    """An empty training split is an error, not a tokenizer of bytes."""
    for texts in ([], ["", ""]):
        with pytest.raises(InputError) as caught:
            BPE.train(texts, BPEOptions(vocab_size=300), seed=0)
        assert caught.value.code == "TOK-001"


def test_lone_surrogates_are_refused_with_their_place(bpe):
    """Half a UTF-16 pair is named, in learning and in encoding alike."""
    broken = "ab\ud800c"
    for attempt in (
        lambda: bpe.encode(broken),
        lambda: bpe.encode_many(["fine", broken]),
        lambda: BPE.train(["fine", broken], BPEOptions(vocab_size=300), seed=0),
    ):
        with pytest.raises(InputError, match="code point 2") as caught:
            attempt()
        assert caught.value.code == "TOK-002"


def test_little_text_gives_fewer_ids_than_asked():
    """The vocabulary says how many ids there are, not how many were wished for."""
    small = BPE.train(["ab ab"], BPEOptions(vocab_size=1000), seed=0)

    assert SMALLEST_VOCABULARY < small.vocab_size < 1000
    with pytest.raises(ValueError, match="at least 259"):
        BPEOptions(vocab_size=SMALLEST_VOCABULARY - 1)


@pytest.mark.slow
@pytest.mark.parametrize("text", ["a", " ", "-", "\n", " \n", "1", "é"])
def test_a_long_run_of_one_character_is_encoded_in_linear_time(bpe, text):
    """A megabyte without a cut neither hangs nor overflows the stack; the suite's time limit would show it."""
    run = text * (500_000 // len(text.encode()))

    assert bpe.decode(bpe.encode(run)) == run


def test_a_pickled_tokenizer_encodes_alike(bpe):
    """Worker processes that receive a tokenizer still take special tokens in text for text."""
    copy = pickle.loads(pickle.dumps(bpe))

    assert copy.fingerprint() == bpe.fingerprint()
    assert copy.encode(SPECIAL_TOKENS["eos"]) == bpe.encode(SPECIAL_TOKENS["eos"])


def test_a_path_replaces_learning(bpe, tmp_path: Path):
    """With `path` the saved tokenizer is taken and the texts are not even looked at."""
    bpe.save(tmp_path)

    def texts():
        raise AssertionError("texts were read")
        yield ""

    loaded = BPE.train(texts(), BPEOptions(path=str(tmp_path)), seed=5)
    assert loaded.fingerprint() == bpe.fingerprint()

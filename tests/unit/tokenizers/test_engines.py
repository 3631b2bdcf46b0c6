"""Backends of byte-level BPE: the same ids, chosen aloud, and a way out where one cannot go."""

from __future__ import annotations

import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, pre_tokenizers

from codex_core.errors import MissingDependency, UsageError
from codex_tokenizers import engines
from codex_tokenizers.artefact import Vocabulary
from codex_tokenizers.bpe import BPE
from codex_tokenizers.splitting import MARGIN, PATTERN, cut
from tests.support.tokenizers import ANY_TEXT, of_kind

tiktoken = pytest.importorskip("tiktoken")

#: Texts in which white space, line ends and signs meet in every way.
WHITE = st.text(
    st.sampled_from([" ", "\n", "\t", "\r", "a", "é", "1", ".", "\u3000", "\x1c", "\x85", "\u2028", "'"])
)


def with_backend(backend: str) -> BPE:
    """The same small tokenizer over one backend."""
    bpe = of_kind("bpe")
    return BPE(bpe.vocabulary, bpe.provenance, backend=backend)


FAST, REFERENCE = with_backend("tiktoken"), with_backend("hf")


def test_the_backend_is_tiktoken_where_it_is_installed():
    """`auto` takes the fast one, says so, and has the same fingerprint."""
    assert of_kind("bpe").backend == FAST.backend == "tiktoken"
    assert REFERENCE.backend == "hf"
    assert FAST.fingerprint() == REFERENCE.fingerprint()


@given(text=ANY_TEXT | WHITE)
@settings(max_examples=150)
def test_ids_are_equal_for_every_text(text):
    """Ids, offsets and text of both backends agree on any text, look-alikes included."""
    ids, offsets = REFERENCE.encode_with_offsets(text)

    assert FAST.encode_with_offsets(text) == (ids, offsets)
    assert FAST.encode(text, allow_special=True) == REFERENCE.encode(text, allow_special=True)
    assert FAST.encode_many([text, text]) == REFERENCE.encode_many([text, text])
    assert FAST.decode(ids) == text


@pytest.mark.proof
@given(text=ANY_TEXT | WHITE)
@settings(max_examples=20_000, deadline=None)
def test_ids_are_equal_for_very_many_texts(text):
    """The same with twenty thousand texts."""
    assert FAST.encode(text) == REFERENCE.encode(text)


@given(ids=st.lists(st.integers(3, 599), max_size=30))
def test_decoding_replaces_broken_characters_as_the_library_does(ids):
    """Any ids, also those that cut characters: the text of our table is that of the library."""
    library = REFERENCE._reference.library

    assert FAST.decode(ids) == library.decode(ids, skip_special_tokens=True)


@given(text=WHITE)
def test_offsets_are_those_of_the_library(text):
    """Spans worked out from bytes are those that the library tells, but for its habit with cut characters."""
    encoding = REFERENCE._reference.library.encode(text, add_special_tokens=False)

    assert FAST.encode_with_offsets(text)[1] == encoding.offsets


@pytest.mark.slow
@pytest.mark.parametrize("pattern", [r"\p{L}", r"\p{N}", r"\s"])
def test_both_libraries_know_the_same_characters(pattern):
    """Letters, numbers and white space of all of Unicode: not one code point is judged differently."""
    every = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x110000)]))
    ranks = {bytes([byte]): byte for byte in range(256)}
    fast = tiktoken.Encoding("classes", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
    splitter = pre_tokenizers.Split(Regex(pattern), "removed")

    others = "".join(piece for piece, _ in splitter.pre_tokenize_str(every))
    assert set(fast.decode(fast.encode_ordinary(every))) == set(every) - set(others)


@pytest.mark.slow
@pytest.mark.parametrize("character", [" ", "\n", " \n", "a", "é", "\t"])
def test_a_megabyte_without_a_margin_goes_to_the_reference(character):
    """A run that would overflow the stack of tiktoken's pattern engine is encoded all the same, and alike."""
    run = character * (300_000 // len(character))

    assert FAST.decode(FAST.encode(run)) == run
    assert FAST.encode("x\n" + run + "x") == REFERENCE.encode("x\n" + run + "x")


@given(texts=st.lists(WHITE, max_size=8), least=st.integers(1, 9))
def test_cutting_changes_no_match(texts, least):
    """Pieces put together are the text, every cut is a margin, and the pattern matches in pieces as in the whole."""
    text = "\n".join(texts)
    pieces = list(cut(text, least))
    splitter = pre_tokenizers.Split(Regex(PATTERN), "isolated")

    assert "".join(pieces) == text
    assert all(MARGIN.match(text, len("".join(pieces[:n])) - 1) for n in range(1, len(pieces)))
    whole = [piece for piece, _ in splitter.pre_tokenize_str(text)]
    assert [piece for one in pieces for piece, _ in splitter.pre_tokenize_str(one)] == whole


def test_a_backend_that_disagrees_is_left_aside_aloud():
    """Where tiktoken gives other ids, the reference encodes and a warning says so; asked for by name it is refused."""
    bpe = of_kind("bpe")
    # without its merges the reference keeps bytes apart, and tiktoken, which knows tokens alone, joins them
    crippled = Vocabulary(ids=bpe.vocabulary.ids, merges=())
    with pytest.warns(RuntimeWarning, match="other ids than the reference"):
        tokenizer = BPE(crippled, {})
        assert tokenizer.encode("the") == [bpe.vocabulary.ids[letter] for letter in "the"]
    assert tokenizer.backend == "hf"
    with pytest.raises(UsageError) as caught:
        BPE(crippled, {}, backend="tiktoken").encode("the")
    assert caught.value.code == "TOK-010"


def test_a_backend_that_is_not_installed_is_named_with_its_extra(monkeypatch):
    """Asked for by name it is exit 3 with the install line; `auto` goes on without it, without a warning."""

    def absent(*_):
        raise ModuleNotFoundError("No module named 'tiktoken'")

    monkeypatch.setattr(engines, "TiktokenEngine", absent)
    with pytest.raises(MissingDependency, match="not installed") as caught:
        with_backend("tiktoken").encode("x")
    assert caught.value.code == "TOK-009"
    assert caught.value.fix == "pip install 'codex-tokenizers[tiktoken]'"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert with_backend("auto").backend == "hf"


def test_a_backend_that_does_not_exist_is_refused():
    """A typo is a usage error that names what there is."""
    with pytest.raises(UsageError, match="no backend 'tiktokn'") as caught:
        with_backend("tiktokn").encode("x")
    assert caught.value.code == "TOK-008"

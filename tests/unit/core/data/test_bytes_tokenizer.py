"""The tokenizer `bytes`."""

from __future__ import annotations

import json

import pytest

from codex_core.data.bytes_tokenizer import BOS, EOS, BytesTokenizer
from codex_core.errors import ArtefactError, InputError, UsageError
from codex_core.records import Record, Turn
from codex_core.testing.tokenizers import check_tokenizer


def test_it_keeps_the_promises_of_a_tokenizer(tmp_path):
    """The conformance suite of tokenizers passes."""
    check_tokenizer(BytesTokenizer, None, folder=tmp_path)


def test_offsets_are_code_points():
    """All bytes of a character share its span."""
    ids, offsets = BytesTokenizer().encode_with_offsets("né")

    assert ids == [110, 195, 169]
    assert offsets == [(0, 1), (1, 2), (1, 2)]


def test_turns_are_rendered_with_roles():
    """Roles stand on lines of their own and are not learned; each turn ends with EOS, learned as the turn says."""
    turns = (Turn("user", "Hi", learn=False), Turn("assistant", "é"))
    encoded = BytesTokenizer().render(Record(id="1", turns=turns, source=("f", 1)))

    assert encoded.text == "user:\nHi\nassistant:\né"
    assert encoded.ids == (BOS, *b"user:\nHi", EOS, *b"\nassistant:\n", *"é".encode(), EOS)
    learned = [i for i, learn in enumerate(encoded.loss_mask) if learn]
    assert [encoded.ids[i] for i in learned] == [*"é".encode(), EOS]
    for id, (start, end) in zip(encoded.ids, encoded.offsets, strict=True):
        assert id in (BOS, EOS) or id in encoded.text[start:end].encode()


def test_cut_characters_are_replaced():
    """A character that was cut in the middle decodes to the replacement character."""
    assert BytesTokenizer().decode([BOS, 110, 195]) == "n\ufffd"


def test_ids_outside_the_vocabulary_are_refused():
    """Decoding an id that does not exist is an input error."""
    with pytest.raises(InputError, match="258"):
        BytesTokenizer().decode([258])


def test_lone_surrogates_are_refused():
    """Text that UTF-8 cannot hold is an input error that names the character."""
    with pytest.raises(InputError, match="surrogate"):
        BytesTokenizer().encode("a\ud800")


def test_templates_are_refused():
    """There is one layout; asking for another is a usage error."""
    with pytest.raises(UsageError, match="chatml"):
        BytesTokenizer().render(Record(id="1", turns=(Turn("text", "a"),), source=("f", 1)), "chatml")


def test_another_artefact_is_refused(tmp_path):
    """A folder that says something else than this tokenizer is an artefact error."""
    BytesTokenizer().save(tmp_path)
    held = json.loads((tmp_path / "bytes.json").read_bytes())
    (tmp_path / "bytes.json").write_text(json.dumps(held | {"eos": 0}))

    with pytest.raises(ArtefactError):
        BytesTokenizer.load(tmp_path)

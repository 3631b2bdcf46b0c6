"""The one layout of records, what a model is given to continue, and what is supervised, as spans of text."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_core.data.bytes_tokenizer import BOS, EOS, BytesTokenizer
from codex_core.records import Encoded, Record, Turn, plain_text
from codex_core.rendering import Piece, encode_pieces, loss_spans, prompt_ids, reply_role, stop_ids

BYTES = BytesTokenizer()


def record(*turns: Turn) -> Record:
    """A record of turns."""
    return Record(id="r", turns=turns, source=("r", 1))


def test_plain_text_is_continued_without_its_end():
    """What a model continues of a plain text is its rendering without the closing EOS."""
    assert prompt_ids(BYTES, plain_text("ab", id="a", source=("a", 1))) == (BOS, *b"ab")


@given(question=st.text(), answer=st.text(), first=st.booleans())
def test_a_prompt_is_how_training_begins(question, answer, first):
    """For any conversation the prompt is a prefix of the rendering, and what follows is supervised."""
    history = (Turn("user", "a"), Turn("assistant", "b")) if first else ()
    whole = record(*history, Turn("user", question, learn=False), Turn("assistant", answer))
    asked = attrs.evolve(whole, turns=whole.turns[:-1])
    rendered = BYTES.render(whole)
    prompt = prompt_ids(BYTES, asked)

    assert rendered.ids[: len(prompt)] == prompt == prompt_ids(BYTES, whole)
    assert all(rendered.loss_mask[len(prompt) :])
    assert BYTES.decode(rendered.ids[len(prompt) :]) == answer


@pytest.mark.parametrize(
    ("roles", "reply"),
    [
        (("prompt",), "completion"),
        (("instruction", "input"), "output"),
        (("instruction",), "output"),
        (("system", "user"), "assistant"),
        (("tool",), "assistant"),
    ],
)
def test_each_form_has_its_answer(roles, reply):
    """Who answers depends on who asks: completion, output, and the assistant for all else."""
    asked = record(*(Turn(role, "x", learn=False) for role in roles))

    assert reply_role(asked) == reply
    assert BYTES.decode(prompt_ids(BYTES, asked)).endswith(f"\n{reply}:\n")


def test_an_answer_stops_at_eos():
    """In the default layout EOS alone ends an answer."""
    assert stop_ids(BYTES) == (EOS,)


def test_a_piece_with_an_id_is_one_token_with_a_span():
    """A special token stands for its spelling in the text, and spans go on behind it."""
    pieces = [Piece("<x>", learn=False, id=7), Piece("ab", learn=True, closes=True)]
    encoded = encode_pieces(pieces, encode_with_offsets=BYTES.encode_with_offsets, bos=None, eos=EOS)

    assert encoded.text == "<x>ab"
    assert encoded.ids == (7, *b"ab", EOS)
    assert encoded.offsets == ((0, 3), (3, 4), (4, 5), (5, 5))
    assert encoded.loss_mask == (False, True, True, True)


def test_spans_of_supervised_text_are_joined_and_kept_apart():
    """Neighbours and tokens of one character are one span, what is not supervised parts them, EOS has none."""
    encoded = Encoded(
        text="abcdé",
        ids=(1, 2, 3, 4, 5, 6, 7),
        loss_mask=(True, True, False, True, True, True, True),
        offsets=((0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (4, 5), (5, 5)),
    )

    assert loss_spans(encoded) == ((0, 2), (3, 5))
    assert loss_spans(attrs.evolve(encoded, loss_mask=(False,) * 7)) == ()

"""Text that is shown as it comes: whole characters, no part of a stop string, nothing the policy still looks at."""

from __future__ import annotations

import pytest

pytest.importorskip("hypothesis")
from hypothesis import given
from hypothesis import strategies as st

from codex_core.cli.continuing import TextStream, fitted
from codex_core.data.bytes_tokenizer import BytesTokenizer
from codex_core.errors import InputError

TOKENIZER = BytesTokenizer()


def _shown(text: str, stop: tuple[str, ...] = (), reason: str = "length") -> tuple[list[str], str]:
    """What a stream shows byte by byte, and why it ended."""
    stream = TextStream(TOKENIZER, None, stop)
    ids = TOKENIZER.encode(text)
    pieces = []
    for number, id in enumerate(ids, start=1):
        pieces.append(stream.push([id], reason if number == len(ids) else None))
        if stream.is_over:
            break
    return pieces, stream.completion("").finish_reason


@given(text=st.text(min_size=1, max_size=40))
def test_pieces_are_the_text(text):
    """Whatever the text, its pieces joined are the text, and no piece holds half a character."""
    pieces, reason = _shown(text)
    assert "".join(pieces) == text
    assert reason == "length"
    if "\ufffd" not in text:
        assert not any("\ufffd" in piece for piece in pieces)


@given(text=st.text("ab", min_size=1, max_size=30), stop=st.text("ab", min_size=1, max_size=4))
def test_nothing_of_a_stop_string_is_ever_shown(text, stop):
    """The text ends before the first stop string; at no moment is more shown than that."""
    pieces, reason = _shown(text, (stop,))
    before = text.partition(stop)[0]
    assert "".join(pieces) == before
    assert reason == ("stop" if stop in text else "length")


def test_the_earliest_of_several_stop_strings_counts():
    """Two stop strings: the one that comes first in the text ends it."""
    pieces, _ = _shown("one, two; three", (";", ","))
    assert "".join(pieces) == "one"


def test_a_prompt_that_does_not_fit_is_refused_or_cut(capsys):
    """Both lengths are named; cutting keeps the first id and the end, leaves room, and is told."""
    ids = tuple(range(20))
    with pytest.raises(InputError, match="20 tokens and the model's context is 16"):
        fitted(ids, 1, limit=16, new=None)
    assert fitted(ids, 1, limit=16, new=4) == (0, *range(9, 20))
    assert "read its last 12 only" in capsys.readouterr().err
    assert fitted(ids, 1, limit=16, new=400) == (0, *range(13, 20))
    assert fitted(ids, 1, limit=21, new=None) == ids
    assert fitted(ids, 1, limit=None, new=None) == ids

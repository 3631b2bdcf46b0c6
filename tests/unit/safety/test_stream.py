"""Streams: any pieces of a text come out as the whole text does, and little is held back."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_safety.options import SecretsOptions
from codex_safety.secrets import RULES, SecretsPolicy
from tests.unit.safety.planted import HARMLESS, SECRETS, private_key

WHOLE = [frame.format(secret) for cases in SECRETS.values() for frame, secret in cases]
LITERALS = [literal for rule in RULES for literal in rule.literals]

#: Secrets, halves of secrets, beginnings of literals, and plain text, in any order without anything between.
FRAGMENTS = st.one_of(
    st.sampled_from([*WHOLE, *HARMLESS, *LITERALS]),
    st.tuples(st.sampled_from(WHOLE), st.integers(0, 200)).map(lambda pair: pair[0][: pair[1]]),
    st.text("abkeyKEYtoken =:'\"@/-_.xİ\n", max_size=12),
)


@given(
    fragments=st.lists(FRAGMENTS, max_size=6), cuts=st.lists(st.integers(1, 40), min_size=1), data=st.data()
)
@settings(max_examples=300)
@pytest.mark.parametrize("action", ["redact", "block"])
def test_any_pieces_give_what_the_whole_gives(action, fragments, cuts, data):
    """Text and matches of a stream equal those of `inspect`, however the text is cut."""
    policy = SecretsPolicy(SecretsOptions(action=action))
    text = "".join(fragments)
    whole = policy.inspect(text, "output")
    stream = policy.stream("output")

    shown, at, number = "", 0, 0
    while at < len(text):
        size = cuts[number % len(cuts)]
        shown += stream.push(text[at : at + size])
        at, number = at + size, number + 1
    rest, matches = stream.close()

    assert (shown + rest, matches) == (whole.text, whole.matches)


@pytest.mark.parametrize("size", [1, 7, 64, 5000])
def test_every_planted_secret_is_found_in_pieces_of_any_size(size):
    """All secrets in one text, with text around them, cut evenly: nothing slips through at a cut."""
    policy = SecretsPolicy()
    text = "\nplain words\n".join([*WHOLE, private_key(lines=100)])
    stream = policy.stream("data")
    shown = "".join(stream.push(text[at : at + size]) for at in range(0, len(text), size))
    rest, matches = stream.close()

    assert shown + rest == policy.inspect(text, "data").text
    assert len(matches) >= len(WHOLE)


def test_plain_text_is_shown_at_once():
    """A reader of generated text waits only where a secret may have begun."""
    stream = SecretsPolicy().stream("output")

    assert stream.push("Hello, world. ") == "Hello, world. "
    assert stream.push("Its price: 3") == "Its price: 3"
    assert stream.push(" s") == " "  # `secret` begins like this
    assert stream.push("o be it.") == "so be it."
    assert stream.push("see https://example.org/x now") == "see https://example.org/x now"
    assert stream.push(" a tok") == " a "
    assert stream.push("en and a good deal of text after it, so that its verdict is settled.") != ""
    assert stream.push(" -----BEGIN CERTIFICATE-----") == " "
    assert stream.push("a" * 60).endswith("a")


def test_nothing_of_a_secret_is_shown_before_it_is_known():
    """At no point does what was shown hold the beginning of the secret."""
    frame, secret = SECRETS["jwt"][0]
    stream = SecretsPolicy().stream("output")
    shown = "".join(stream.push(character) for character in frame.format(secret))

    assert shown + stream.close()[0] == frame.format("[REDACTED:jwt]")
    assert secret[:4] not in shown


def test_a_stream_of_nothing_gives_nothing():
    """Closing a stream that got no text is fine."""
    assert SecretsPolicy().stream("output").close() == ("", ())

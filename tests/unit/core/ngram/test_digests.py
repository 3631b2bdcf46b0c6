"""The digest of a table of counts grows with its events, in any order."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from codex_core.ngram.counts import Counts
from codex_core.ngram.digests import CountsDigest

EVENTS = st.lists(st.tuples(*[st.integers(0, 5)] * 3), max_size=30)


def array(events):
    return np.array(events, dtype=np.int32).reshape(-1, 3)


@given(first=EVENTS, second=EVENTS)
def test_digest_of_a_table_is_that_of_its_events(first, second):
    """However the events came in, the loaded table has the digest that was counted along with it."""
    counts, digest = Counts.empty(order=3, vocab_size=5), CountsDigest.of(Counts.empty(order=3, vocab_size=5))
    for events in (array(second), array(first)):
        counts.add(events)
    for events in (array(first), array(second)):
        digest.add(events)

    assert CountsDigest.of(counts).hex() == digest.hex()


@given(events=EVENTS.filter(bool), place=st.integers(0, 29), column=st.integers(0, 2))
def test_one_other_event_gives_another_digest(events, place, column):
    """A single id that differs, or one event more, shows."""
    changed = array(events)
    changed[place % len(events), column] += 1
    digests = []
    for held in (array(events), changed, array([*events, events[0]])):
        digest = CountsDigest.of(Counts.empty(order=3, vocab_size=7))
        digest.add(held)
        digests.append(digest.hex())

    assert len(set(digests)) == 3
    assert all(len(digest) == 32 for digest in digests)

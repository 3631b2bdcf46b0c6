"""Writing configurations: what is written reads back equal, for this reader and for others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_core.planning.configio import parse, plain
from codex_core.planning.yamlout import flow, write

texts = st.text(alphabet=st.characters(exclude_categories=["Cs"]))
# Texts that look like other things are what a writer of YAML gets wrong.
lookalikes = st.from_regex(r"[-+0-9._eExobfnatsiyr:#\[\]{}&*!|>'\"%@` ,?~]{1,8}", fullmatch=True)
numbers = st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts | lookalikes,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts.filter(bool), inner, max_size=4),
    max_leaves=10,
)


@given(st.dictionaries(texts.filter(bool) | lookalikes, values, max_size=4))
def test_any_values_read_back_equal(written):
    """Types, digits, order and every character survive."""
    read_back = plain(parse(write(written), source="run.yaml"))
    assert repr(read_back) == repr(written)


def test_one_line_holds_any_value():
    """`flow` is what overrides and tables show; it reads back, too."""
    value = {"a": [1, "b: c", None], "d": {}}
    assert flow(value) == '{a: [1, "b: c", null], d: {}}'
    assert plain(parse(flow(value), source="x")) == value


@pytest.mark.parametrize("word", ["yes", "No", "on", "OFF", "y", "n"])
def test_words_that_older_readers_take_for_truth_values_are_quoted(word):
    """`system_metrics: off` stays text for a reader of YAML 1.1."""
    assert write({"a": word}) == f'a: "{word}"\n'


def test_nested_lists_of_components_are_blocks():
    """The layout that people read: a dash per component, scalars on one line."""
    text = write({"data": {"sources": [{"name": "a", "path": "b"}, {"name": "c"}], "split": [0.5, 0.5]}})
    assert text == "data:\n  sources:\n    - name: a\n      path: b\n    - name: c\n  split: [0.5, 0.5]\n"

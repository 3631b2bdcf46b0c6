"""Cutting long texts: each token is scored once, with as much context as promised."""

from __future__ import annotations

import pytest

from codex_core.errors import UsageError
from codex_core.evaluation.windows import cutter


@pytest.mark.parametrize("context_length", [2, 3, 8, 9])
@pytest.mark.parametrize("length", [0, 1, 2, 3, 7, 8, 9, 10, 40])
def test_each_token_is_scored_once(context_length, length):
    """For every stride, the scored tails of the windows are the text without its first token, in order."""
    ids = list(range(length))
    for stride in range(1, context_length):
        cut = cutter(context_length, stride=stride)
        windows = list(cut.windows(ids))
        scored = [token for window in windows for token in window.row[len(window.row) - window.num_scored :]]
        assert scored == ids[1:]
        assert all(len(window.row) <= context_length for window in windows)
        for window in windows[1:]:
            assert len(window.row) == context_length, "a later window must use the whole context"
            assert len(window.row) - window.num_scored >= context_length - stride


def test_text_that_fits_is_one_window():
    """A text of at most the context is given as it is, and any text to a model without limit."""
    for context_length in (5, 6, None):
        (window,) = cutter(context_length).windows([0, 1, 2, 3, 4])
        assert (window.row, window.num_scored) == ([0, 1, 2, 3, 4], 4)


@pytest.mark.parametrize(("context_length", "stride"), [(8, 8), (8, 0), (8, -1), (1, None)])
def test_stride_must_leave_context(context_length, stride):
    """A stride that leaves a scored token without any context is refused."""
    with pytest.raises(UsageError, match="stride"):
        cutter(context_length, stride=stride)


def test_rule_names_window_and_stride():
    """The signature's part tells both lengths, or that texts are never cut."""
    assert cutter(256).rule() == "first token:context|window:256|stride:128"
    assert cutter(None, stride=3).rule() == "first token:context|window:text|stride:text"

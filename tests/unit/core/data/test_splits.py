"""Splits by content."""

from __future__ import annotations

import pytest

from codex_core.data.splits import SPLITS, splitter
from codex_core.errors import UsageError


@pytest.mark.parametrize(
    "ratios",
    [
        (),
        (1.0,),
        (0.5, 0.5),
        (0.5, 0.4, 0.2),
        (0.9, 0.2, -0.1),
        (0, 0.5, 0.5),
        (float("nan"), 0.5, 0.5),
        (0.8, 0.1, 0.1, 0),
    ],
)
def test_ratios_are_refused_unless_they_are_three_shares(ratios):
    """Ratios that are not three, negative, without training or with another sum than one are a usage error."""
    with pytest.raises(UsageError) as caught:
        splitter(ratios, seed=0)

    assert caught.value.code == "DAT-008"


def test_ratios_hold_for_many_texts():
    """Shares come out close to the ratios, by text and by group."""
    split = splitter((0.8, 0.15, 0.05), seed=1)
    counts = dict.fromkeys(SPLITS, 0)
    for number in range(4000):
        counts[split.split_of(f"text {number}", group=None)] += 1

    assert counts["train"] == pytest.approx(3200, abs=100)  # 4 standard deviations
    assert counts["validation"] == pytest.approx(600, abs=90)
    assert counts["test"] == pytest.approx(200, abs=55)


def test_group_decides_where_there_is_one():
    """All rows of a group share a split, whatever their texts."""
    split = splitter((0.4, 0.3, 0.3), seed=5)

    for group in map(str, range(30)):
        assert len({split.split_of(f"text {number}", group=group) for number in range(20)}) == 1


def test_a_share_of_zero_gets_nothing():
    """A split with ratio 0 stays empty, and the whole range is covered, however the ratios were rounded."""
    split = splitter((0.5, 0.5, 0), seed=0)
    assert splitter((0.5, 0.4999999995, 0), seed=0).bounds[-1] == 1 << 64

    assert {split.split_of(str(number), group=None) for number in range(200)} == {"train", "validation"}
    assert splitter((1, 0, 0), seed=0).split_of("any", group=None) == "train"


def test_seed_changes_the_split_and_the_identity():
    """Two seeds split differently and say so."""
    one, two = splitter((0.5, 0.25, 0.25), seed=1), splitter((0.5, 0.25, 0.25), seed=2)
    texts = [str(number) for number in range(100)]

    assert [one.split_of(text, group=None) for text in texts] != [
        two.split_of(text, group=None) for text in texts
    ]
    assert one.identity() != two.identity()

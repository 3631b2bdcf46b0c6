"""Which cells the options of a sweep describe, and what of them cannot be read."""

from __future__ import annotations

import pytest

from codex_core.cli.sweep_cells import MAX_CELLS, Cell, cells_of, split_values
from codex_core.errors import CodexError, UsageError


def cells(grids=(), lists=(), randoms=(), random_seed=0, seeds=None) -> list[Cell]:
    return cells_of(grids=grids, lists=lists, randoms=randoms, random_seed=random_seed, seeds=seeds)


def labels(**axes) -> list[str]:
    return [cell.label for cell in cells(**axes)]


def test_grids_and_seeds_multiply_in_their_order():
    """Two values and two seeds are four cells, the last axis fastest, numbered from 1."""
    found = cells(grids=["trainer.lr=1e-3,1e-4"], seeds="1,2")
    assert [cell.label for cell in found] == [
        "trainer.lr=1e-3 --seed 1", "trainer.lr=1e-3 --seed 2",
        "trainer.lr=1e-4 --seed 1", "trainer.lr=1e-4 --seed 2",
    ]  # fmt: skip
    assert [cell.number for cell in found] == [1, 2, 3, 4]


def test_lists_are_points_of_one_axis():
    """Each `--list` is one point with all its overrides; a grid multiplies them."""
    found = labels(grids=["a.b=1,2"], lists=["c.d=3 e.f='x y'", "~c.d"])
    assert found == ["a.b=1 c.d=3 e.f=x y", "a.b=1 ~c.d", "a.b=2 c.d=3 e.f=x y", "a.b=2 ~c.d"]


def test_values_with_commas_stay_whole():
    """Brackets, braces and quotes hold commas together."""
    assert split_values("[1, [2,3]], {a: 1, b: 2},'x,y',z") == ["[1, [2,3]]", "{a: 1, b: 2}", "'x,y'", "z"]
    assert labels(grids=["data.split=[0.9,0.1,0],[0.8,0.1,0.1]"])[0] == "data.split=[0.9,0.1,0]"


def test_random_points_follow_their_seed_and_stay_within_bounds():
    """The same seed gives the same points, another seed others; each key has a stream of its own."""
    words = ["trainer.lr=1e-5..1e-1:50:log", "model.order=2..16:50"]
    first, again, other = (cells(randoms=words, random_seed=seed) for seed in (7, 7, 8))
    assert first == again != other
    assert [cell.overrides[0] for cell in first] == [
        cell.overrides[0] for cell in cells(randoms=words[:1], random_seed=7)
    ]
    rates = [float(cell.overrides[0].partition("=")[2]) for cell in first]
    orders = [int(cell.overrides[1].partition("=")[2]) for cell in first]
    assert all(1e-5 <= rate <= 1e-1 for rate in rates) and all(2 <= order <= 16 for order in orders)
    assert sum(rate < 1e-3 for rate in rates) > 15, "half of the magnitudes are below 1e-3"


def test_random_whole_numbers_reach_both_bounds_and_do_not_repeat():
    """A range of five whole numbers has five different points, both ends among them."""
    for spread in ("", ":log"):
        assert sorted(labels(randoms=[f"model.order=2..6:5{spread}"])) == [
            f"model.order={n}" for n in range(2, 7)
        ]


UNREADABLE = {
    "nothing varies": {},
    "no value": {"grids": ["a.b"]},
    "empty value": {"grids": ["a.b=1,,2"]},
    "no key": {"grids": ["=1,2"]},
    "an appending grid": {"grids": ["+a.b=1,2"]},
    "twice the same key": {"grids": ["a.b=1,2", "a.b=3,4"]},
    "key of grid and random": {"grids": ["a.b=1,2"], "randoms": ["a.b=1..2:1"]},
    "plugins": {"grids": ["plugins.off=[a],[b]"]},
    "plugins in a list": {"lists": ["plugins.off=[a]"]},
    "open quote in a list": {"lists": ["a.b='x"]},
    "no range": {"randoms": ["a.b=1:3"]},
    "no count": {"randoms": ["a.b=1..3"]},
    "no points": {"randoms": ["a.b=1..3:0"]},
    "empty range": {"randoms": ["a.b=3..3:2"]},
    "words": {"randoms": ["a.b=x..y:2"]},
    "infinite": {"randoms": ["a.b=1..inf:2"]},
    "logarithm of zero": {"randoms": ["a.b=0..1:2:log"]},
    "unequal counts": {"randoms": ["a.b=0..1:2", "a.c=0..1:3"]},
    "too few whole numbers": {"randoms": ["a.b=1..3:4"]},
    "seeds that are none": {"seeds": "1,x"},
    "negative seed": {"seeds": "-1"},
    "too many": {"grids": [f"a.b={','.join(map(str, range(40)))}"], "seeds": ",".join(map(str, range(40)))},
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_cannot_be_read_is_refused_with_a_fix(name):
    """CFG-017 says what is wrong and shows the form that is read."""
    with pytest.raises(UsageError) as caught:
        cells(**UNREADABLE[name])
    assert caught.value.code == "CFG-017" and caught.value.why and caught.value.fix


def test_an_override_that_cannot_be_read_is_refused_as_everywhere():
    """The grammar of values and names is that of overrides."""
    for axes in ({"grids": ["a.b=[1"]}, {"lists": ["a.b"]}, {"grids": ["a b=1"]}):
        with pytest.raises(CodexError) as caught:
            cells(**axes)
        assert caught.value.code == "CFG-008"


def test_the_limit_itself_is_allowed():
    """A sweep of exactly as many cells as allowed is made."""
    assert len(cells(seeds=",".join(map(str, range(MAX_CELLS))))) == MAX_CELLS

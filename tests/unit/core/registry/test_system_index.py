"""The index that an image brings along: it holds wherever the same bytes are, and for whoever reads it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from codex_core.errors import InputError
from codex_core.plugins import survey, system_index
from codex_core.plugins.selection import Selection
from tests.support.distributions import World, good


@pytest.fixture
def image(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A world whose installation is a folder of its own, with one plugin and its index."""
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "prefix"))
    world.site.add("aa-control", good())
    world.age()
    path, count = system_index.write(Selection(), {})
    assert count == 1 and path.startswith(str(tmp_path / "prefix" / "share" / "codex" / "index"))
    assert os.stat(path).st_mode & 0o777 == 0o644
    return world


def never(*arguments: object) -> None:
    """Stands in for a look at what is installed."""
    raise AssertionError("looked anew")


def test_index_holds_after_the_image_was_unpacked_elsewhere(
    image: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New times, new inodes and the same bytes: the answer is read, nothing is looked at anew."""
    module = image.site.path / "aa_control.py"
    copy = module.with_suffix(".new")
    copy.write_bytes(module.read_bytes())
    copy.replace(module)
    (image.site.path / "aa_control-1.0.dist-info" / "METADATA").touch()
    monkeypatch.setattr(survey, "look", never)

    assert [row["dist"] for row in image.look().rows] == ["aa-control"]


@pytest.mark.parametrize("change", ["edit", "install", "uninstall"])
def test_change_within_the_image_is_seen(image: World, change: str) -> None:
    """What is edited, installed or removed where the image runs is in the next answer."""
    if change == "edit":
        image.site.write_module("aa_control", good("renamed"))
    elif change == "install":
        image.site.add("bb-more", good("renamed"))
    else:
        image.site.remove("aa-control")

    names = [row["name"] for row in image.look().rows]

    expected = {"edit": ["renamed"], "install": ["control", "renamed"], "uninstall": []}
    assert names == expected[change]


def test_outdated_answer_of_the_user_does_not_hide_the_one_of_the_image(
    image: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the user's own answer no longer holds, the image's is read before anything is looked at."""
    image.site.add("bb-more", good("more"))
    image.look()
    image.site.remove("bb-more")
    monkeypatch.setattr(survey, "look", never)

    assert [row["dist"] for row in image.look().rows] == ["aa-control"]


def test_place_that_cannot_be_written_is_said(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An installation where nothing can be written is exit 4 with the folder, never a silent nothing."""
    (tmp_path / "file").touch()
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "file"))

    with pytest.raises(InputError, match="share"):
        system_index.write(Selection(), {})


def test_unfinished_look_is_not_baked_in(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An answer with plugins that could not be asked expires at once, so it is refused and removed."""
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "prefix"))
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    world.site.add("aa-control", good())

    with pytest.raises(InputError, match="not every plugin"):
        system_index.write(Selection(), {})

    assert list(Path(system_index.place()).glob("*.idx")) == []

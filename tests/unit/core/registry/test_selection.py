"""What the user switches off is not imported; what the user misspells is an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from codex_core.errors import UsageError
from codex_core.plugins.selection import Selection
from tests.support.distributions import World, good


@pytest.fixture
def two(world: World, tmp_path: Path) -> World:
    """Two third-party plugins that leave a trace when they are imported, and a built-in one."""
    for name in ("first", "second"):
        trace = f"open({str(tmp_path / name)!r}, 'w').close()\n"
        world.site.add(f"Dist.{name}", trace + good(name), entry_point=f"ep-{name}")
    world.site.add("codex-core", good("bytes"), module="built_in_plugin")
    return world


def blocked(world: World, **selection: Any) -> dict[str, str]:
    """Reasons of blocked rows, by id."""
    return {row["id"]: row["reason"] for row in world.look(**selection).rows if row["state"] == "blocked"}


@pytest.mark.parametrize(
    "entry", ["dist-first", "Dist.First", "dist_first", "ep-first", "DIST-first/ep-first"]
)
def test_switched_off_plugin_is_not_imported(two: World, tmp_path: Path, entry: str) -> None:
    """A distribution in any spelling, an entry point, or both together can be switched off before import."""
    assert blocked(two, off=[entry]) == {"dist-first/ep-first": "switched-off"}
    assert not (tmp_path / "first").exists() and (tmp_path / "second").exists()


def test_one_component_can_be_switched_off(two: World) -> None:
    """A canonical id switches off one component, and leaves the others of its plugin."""
    assert blocked(two, off=["dist-first/first"]) == {"dist-first/first": "switched-off"}


def test_allow_list_leaves_the_others_out(two: World, tmp_path: Path) -> None:
    """With an allow list, third-party plugins that are not on it are not imported; built-ins stay."""
    assert blocked(two, only=["dist-second"]) == {"dist-first/ep-first": "not-on-allowlist"}
    assert not (tmp_path / "first").exists()


def test_empty_allow_list_means_built_ins_only(two: World, tmp_path: Path) -> None:
    """An empty allow list imports nothing of third parties and keeps what is built in."""
    assert set(blocked(two, only=[])) == {"dist-first/ep-first", "dist-second/ep-second"}
    assert not (tmp_path / "first").exists() and not (tmp_path / "second").exists()
    assert [row["id"] for row in two.look(only=[]).rows if row["state"] == "ok"] == ["codex-core/bytes"]


def test_allow_list_can_name_one_component(two: World) -> None:
    """A canonical id on the allow list allows its plugin to be asked, and this component only."""
    assert blocked(two, only=["dist-first/first"]) == {"dist-second/ep-second": "not-on-allowlist"}


@pytest.mark.parametrize("selection", [{"off": ["dist-frist"]}, {"only": ["dist-frist"]}])
def test_entry_that_matches_nothing_is_an_error_with_near_names(
    two: World, selection: dict[str, Any]
) -> None:
    """A misspelt plugin is never silently nobody."""
    with pytest.raises(UsageError, match="dist-frist") as refusal:
        two.look(**selection)
    assert "did you mean 'dist-first'" in str(refusal.value)


def test_entry_in_both_lists_is_an_error(two: World) -> None:
    """Allowing and switching off the same plugin is a contradiction and said so."""
    with pytest.raises(UsageError, match="both"):
        two.look(only=["dist-first"], off=["dist-first"])


def test_switching_off_wins_over_allowing(two: World) -> None:
    """An allowed distribution whose entry point is switched off is off."""
    assert blocked(two, only=["dist-first", "dist-second"], off=["ep-first"]) == {
        "dist-first/ep-first": "switched-off"
    }


def test_environment_flags_and_configuration_add_up() -> None:
    """Variables, `-p no:NAME` and the configuration are joined; two allow lists leave what both allow."""
    environ = {"CODEX_PLUGINS": "a, b", "CODEX_PLUGINS_OFF": "c d"}

    joined = Selection.from_environment(environ, flags=["no:e"], off=["f"], only=["b", "x"])

    assert (joined.only, joined.off) == (("b",), ("c", "d", "e", "f"))
    assert Selection.from_environment({"CODEX_PLUGINS": ""}).only == ()
    assert Selection.from_environment({}).only is None


def test_equal_selections_have_equal_keys() -> None:
    """The key names everything that changes the answer, in one order."""
    one = Selection(off=["b", "a"], pins={"models/x": "d"})

    assert one.key == Selection(off=["a", "b", "a"], pins={"models/x": "d"}).key
    assert len({one.key, Selection().key, Selection(only=[]).key, Selection(off=["a"]).key}) == 4

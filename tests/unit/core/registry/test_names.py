"""Who answers to a name: pins, built-ins, conflicts; and what libraries are missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from codex_core.errors import MissingDependency, UnknownComponent, UsageError
from codex_core.plugins.selection import Selection
from codex_core.registry import Registry
from tests.support.distributions import World, good


def registry(world: World, **selection: Any) -> Registry:
    """The registry of a world."""
    chosen = Selection(**selection)
    return Registry(world.look(**selection), chosen)


def states(world: World, **selection: Any) -> dict[str, str]:
    """State by canonical id."""
    return {row["id"]: row["state"] for row in world.look(**selection).rows}


@pytest.mark.parametrize("order", ["ab", "ba"])
def test_two_claimants_are_in_conflict_whatever_the_order(world: World, tmp_path: Path, order: str) -> None:
    """Neither claimant of a name wins by path order; the bare name is refused, the canonical ids work."""
    other = type(world.site)(tmp_path / "other")
    world.site.add("dist-a", good("mytok"))
    other.add("dist-b", good("mytok"))
    places = [world.site.path, other.path]
    world.search(*(places if order == "ab" else reversed(places)))

    assert states(world) == {"dist-a/mytok": "conflict", "dist-b/mytok": "conflict"}
    found = registry(world)
    with pytest.raises(UsageError, match="ambiguous") as refusal:
        found.find("tokenizers", "mytok")
    assert "dist-a/mytok, dist-b/mytok" in str(refusal.value)
    assert [found.find("tokenizers", f"dist-{x}/mytok").state for x in "ab"] == ["ok", "ok"]


def test_pin_settles_a_conflict(world: World) -> None:
    """A pin gives the bare name to one distribution; the other answers to its canonical id."""
    world.site.add("dist-a", good("mytok"))
    world.site.add("dist-b", good("mytok"))
    pins = {"tokenizers/mytok": "dist-b"}

    assert states(world, pins=pins) == {"dist-a/mytok": "shadowed", "dist-b/mytok": "ok"}
    assert registry(world).find("tokenizers", "mytok", pins=pins).id == "dist-b/mytok"
    assert registry(world, pins=pins).find("tokenizers", "dist-a/mytok").state == "ok"


OVERRIDING = good("bytes").replace('summary="a good one"', 'summary="mine", overrides="bytes"')


@pytest.mark.parametrize("overrides", [False, True])
@pytest.mark.parametrize("pinned", [False, True])
def test_replacing_a_built_in_takes_overrides_and_a_pin(world: World, overrides: bool, pinned: bool) -> None:
    """The built-in keeps its name unless the plugin declares `overrides` and the user pins it."""
    world.site.add("codex-core", good("bytes"), module="built_in_plugin")
    world.site.add("replacing", OVERRIDING if overrides else good("bytes"))
    pins = {"tokenizers/bytes": "replacing"} if pinned else {}

    replaced = overrides and pinned
    assert states(world, pins=pins) == {
        "codex-core/bytes": "shadowed" if replaced else "ok",
        "replacing/bytes": "ok" if replaced else "shadowed",
    }
    reasons = {row["id"]: row["reason"] for row in world.look(pins=pins).rows if row["reason"]}
    assert (
        reasons
        == {
            (False, False): {"replacing/bytes": "built-in-name"},
            (True, False): {"replacing/bytes": "override-not-pinned"},
            (False, True): {"replacing/bytes": "override-not-declared"},
            (True, True): {"codex-core/bytes": "pinned-elsewhere"},
        }[overrides, pinned]
    )


def test_pin_of_something_absent_is_refused(world: World) -> None:
    """A pin that names nothing is an error with the nearest name, never ignored."""
    world.site.add("dist-a", good("mytok"))

    with pytest.raises(UsageError, match="dist-x") as refusal:
        world.look(pins={"tokenizers/mytok": "dist-x"})
    assert "did you mean dist-a" in str(refusal.value)
    with pytest.raises(UsageError):
        world.look(pins={"tokenizers/other": "dist-a"})


def test_kinds_do_not_share_names(world: World) -> None:
    """A model and a trainer of one name are no conflict; neither are two names for one object."""
    extra = """
    @hookimpl
    def codex_models():
        return [Component(n, target="json:JSONDecoder", summary="") for n in ("control", "same")]
    """
    world.site.add("dist-a", good(extra=extra))

    assert [row["state"] for row in world.look().rows] == ["ok", "ok", "ok"]


def test_entry_points_that_differ_by_case_are_two_plugins(world: World) -> None:
    """Both are listed; names of components are lower case by rule, so one with capitals breaks its own plugin."""
    world.site.write_module("lower", good("lower"))
    world.site.write_module("upper", good("UPPER"))
    world.site.add("dist-a", entry_points="[codex.plugins]\nplug = lower\nPLUG = upper\n")

    rows = [(row["entry_point"], row["name"], row["state"], row["reason"]) for row in world.look().rows]

    assert rows == [("plug", "lower", "ok", None), ("PLUG", "PLUG", "broken", "invalid-component")]


def test_name_offered_by_two_plugins_of_one_distribution_is_refused(world: World) -> None:
    """An id that would mean either of two components means neither; both rows name both plugins."""
    world.site.write_module("shared", good())
    world.site.add("dist-a", entry_points="[codex.plugins]\none = shared\ntwo = shared\n")

    taken = world.look()

    assert [(row["state"], row["reason"]) for row in taken.rows] == [("broken", "duplicate-name")] * 2
    assert "one and two" in taken.rows[0]["hint"]
    with pytest.raises(MissingDependency):
        Registry(taken, Selection()).find("tokenizers", "dist-a/control", usable=True)
    left = {row["state"] for row in world.look(off=["dist-a/two"]).rows}
    assert left == {"ok", "blocked"}


def wanting(*requires: str) -> str:
    """A module with a component that declares requirements."""
    return good("wanting").replace("summary=", f"requires={requires!r}, summary=")


def test_missing_library_of_an_extra_has_its_install_line(world: World) -> None:
    """A declared requirement that is not installed is `missing-extra`; the extra comes from the metadata."""
    world.site.add("dist-a", wanting("pynvml", "json"), requires=['nvidia-ml-py>=12 ; extra == "gpu"'])

    row = world.row("dist-a")

    assert (row["state"], row["missing"], row["extras"]) == ("missing-extra", ["pynvml"], ["gpu"])
    assert row["fix"] == "pip install 'dist-a[gpu]'"


def test_missing_library_without_an_extra_is_named_itself(world: World) -> None:
    """A hard requirement is installed by itself, one that metadata does not know by its import name."""
    world.site.add("dist-a", wanting("absent_lib", "other_lib"), requires=["absent-lib<3,>=2"])

    assert world.row("dist-a")["fix"] == "pip install 'absent-lib<3,>=2' other_lib"


def test_missing_library_is_looked_for_each_time(world: World) -> None:
    """Installing what was missing is seen by the next look, although no plugin changed."""
    world.site.add("dist-a", wanting("late_library"))
    assert world.row("dist-a")["state"] == "missing-extra"
    world.age()
    assert world.row("dist-a")["state"] == "missing-extra"

    world.site.write_module("late_library", "")

    assert world.row("dist-a")["state"] == "ok"


def test_presence_is_told_without_importing_parents(world: World, tmp_path: Path) -> None:
    """Whether `a.b` is there is found out without running `a`; an emptied folder does not count."""
    ran = tmp_path / "ran"
    world.site.write_module("parent.child", "")
    (world.site.path / "parent" / "__init__.py").write_text(f"open({str(ran)!r}, 'w')", encoding="utf-8")
    (world.site.path / "emptied" / "__pycache__").mkdir(parents=True)
    world.site.add("dist-a", wanting("parent.child", "parent.gone", "emptied"))

    assert world.row("dist-a")["missing"] == ["parent.gone", "emptied"]
    assert not ran.exists()


def test_absent_target_is_an_invalid_reference(world: World) -> None:
    """A component whose target module is nowhere is listed as such before anybody tries to use it."""
    world.site.add("dist-a", good("pointing", target="no_such_module:Thing"))

    row = world.row("dist-a")
    assert (row["kind"], row["state"], row["reason"]) == ("tokenizers", "invalid-ref", "target-not-found")
    world.site.write_module("no_such_module", "")
    assert world.row("dist-a")["state"] == "ok"


def test_unknown_name_has_near_names(world: World) -> None:
    """A typo is exit 2 with the nearest names, installed or known."""
    world.site.add("dist-a", good("mytok"))

    with pytest.raises(UnknownComponent) as refusal:
        registry(world).find("tokenizers", "mytokk", where="run.yaml:7")
    assert refusal.value.exit_code == 2
    assert "did you mean 'mytok'?" in str(refusal.value) and "run.yaml:7" in str(refusal.value)


def test_known_component_that_is_not_installed_has_its_install_line(world: World) -> None:
    """A built-in of a sibling that is not installed is exit 3 with the install line, no typo."""
    with pytest.raises(MissingDependency) as refusal:
        registry(world).find("models", "decoder")

    assert refusal.value.exit_code == 3
    assert refusal.value.fix == "pip install codex-models"
    assert registry(world).known("models", "codex-models/decoder") is not None


def test_known_component_of_a_broken_distribution_says_what_is_wrong(world: World) -> None:
    """When the distribution is there but unusable, that is the answer, not an installation."""
    world.site.add("codex-models", "raise RuntimeError('half upgraded')")

    with pytest.raises(MissingDependency, match="decoder") as refusal:
        registry(world).find("models", "decoder")

    assert "half upgraded" in str(refusal.value.why)


def test_unusable_row_is_found_but_not_used(world: World) -> None:
    """Planning sees a row that lacks a library; using it is exit 3 with the fix."""
    world.site.add("dist-a", wanting("absent_lib"))
    found = registry(world)

    row = found.find("tokenizers", "wanting")

    assert row.state == "missing-extra"
    for use in (lambda: found.find("tokenizers", "wanting", usable=True), lambda: found.load(row)):
        with pytest.raises(MissingDependency) as refusal:
            use()
        assert (refusal.value.exit_code, refusal.value.fix) == (3, "pip install absent_lib")


def test_rows_are_sorted_and_complete(world: World) -> None:
    """Rows come by kind, name and distribution, each with every field."""
    world.site.add("dist-b", good("b"))
    world.site.add("dist-a", good("c"))
    world.site.add("dist-c", "raise ValueError")

    rows = world.look().rows

    assert [(row["kind"], row["name"]) for row in rows] == [
        ("tokenizers", "b"),
        ("tokenizers", "c"),
        ("plugin", "plugin"),
    ]
    assert len({tuple(row) for row in rows}) == 1

"""Every claimed plugin has a row, whatever state its metadata is in; the healthy one beside it is never lost."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest

from codex_core.plugins import index
from codex_core.plugins.discovery import read_api
from tests.support.distributions import World, good


def rows_beside_control(world: World, **arguments: Any) -> list[dict[str, Any]]:
    """The rows of everybody but the healthy control, which must be `ok`."""
    world.site.add("aa-control", good())
    rows = world.look(**arguments).rows
    assert [row["state"] for row in rows if row["dist"] == "aa-control"] == ["ok"]
    return [row for row in rows if row["dist"] != "aa-control"]


@pytest.mark.parametrize("value", ["my_pkg:plugin", "my pkg", "my_pkg [extra]", "", "my_pkg.", "1a.b", "a/b"])
def test_reference_that_names_no_module_is_invalid(world: World, value: str) -> None:
    """An entry point must name a module; anything else is one row with the fix, never a crash."""
    world.site.add("bad-ref", entry_points=f"[codex.plugins]\nbad = {value}\n")

    (row,) = rows_beside_control(world)

    assert (row["state"], row["reason"]) == ("invalid-ref", "not-a-module")
    assert row["fix"] == "pip install --force-reinstall bad-ref"


def test_missing_module_is_invalid(world: World) -> None:
    """A module that does not exist is found out without importing anything."""
    world.site.add("no-module", None)

    (row,) = rows_beside_control(world)

    assert (row["state"], row["reason"]) == ("invalid-ref", "module-not-found")
    assert "no_module" in row["hint"]


@pytest.mark.parametrize(
    "text", ["[codex.plugins\nx = y\n", "x = y\n[codex.plugins]\nnonsense\n", "[codex.plugins]\n= y\n"]
)
def test_malformed_entry_points_are_unreadable(world: World, text: str) -> None:
    """A file that is no list of sections is one row that names the line."""
    world.site.add("broken-ini", entry_points=text)

    (row,) = rows_beside_control(world)

    assert (row["state"], row["reason"]) == ("unreadable", "entry-points-malformed")
    assert row["hint"].startswith("line ")


def test_entry_points_in_another_encoding_are_unreadable(world: World) -> None:
    """One file that is not UTF-8 hides itself and nobody else."""
    world.site.add("latin", entry_points="[codex.plugins]\nné = x\n".encode("latin-1"))

    (row,) = rows_beside_control(world)

    assert (row["state"], row["reason"]) == ("unreadable", "entry-points-not-utf8")


def test_entry_points_that_cannot_be_opened_are_unreadable(world: World) -> None:
    """A file that cannot be opened is reported when its distribution builds on the core."""
    place = world.site.add("secretive", good(), requires=["codex-core>=1.0,<2"])
    (place / "entry_points.txt").unlink()
    (place / "entry_points.txt").symlink_to(place / "entry_points.txt")

    (row,) = rows_beside_control(world)

    assert (row["state"], row["reason"]) == ("unreadable", "entry-points-unreadable")


def test_entry_points_that_are_a_folder_hide_nothing(world: World) -> None:
    """A folder in the place of entry_points.txt claims nothing, and the others are listed."""
    place = world.site.add("folder", None)
    (place / "entry_points.txt").unlink()
    (place / "entry_points.txt").mkdir()

    assert rows_beside_control(world) == []


def test_file_of_other_groups_is_not_ours(world: World) -> None:
    """Distributions that do not name our group have no row, however broken they are."""
    world.site.add("stranger", entry_points="[console_scripts]\nx = y:z\n[pytest11\n")

    assert rows_beside_control(world) == []


@pytest.mark.parametrize(("metadata", "version"), [(None, "1.0"), ("", None)])
def test_absent_metadata_is_null_and_never_a_word(
    world: World, metadata: str | None, version: str | None
) -> None:
    """Without METADATA, or without a version in it, the plugin is listed and what is unknown is null."""
    world.site.add("nameless", good("other"), metadata=metadata, version=version, folder="nameless.dist-info")

    (row,) = rows_beside_control(world)

    assert (row["state"], row["dist"], row["version"]) == ("ok", "nameless", None)


def test_empty_metadata_folder_does_not_win(world: World) -> None:
    """An empty .dist-info that sorts first does not hide the real one."""
    (world.site.path / "real-0.1.dist-info").mkdir(parents=True)
    world.site.add("real", good("other"), version="1.0")

    (row,) = rows_beside_control(world)

    assert (row["state"], row["version"]) == ("ok", "1.0")
    assert len(row["copies"]) == 1


def test_leftover_of_an_installation_is_named_and_not_offered(world: World) -> None:
    """A folder that pip renamed on its way is a leftover with the command that removes it."""
    place = world.site.add("plugin-x", good("other"), folder="~lugin_x-1.0.dist-info")

    (row,) = rows_beside_control(world)

    assert (row["state"], row["reason"], row["kind"]) == ("leftover", "half-removed", "plugin")
    assert row["fix"] == f"rm -r '{place}'"


def _direct_url(source: Path) -> str:
    return json.dumps({"url": source.as_uri(), "dir_info": {"editable": True}})


def test_editable_installation_shows_its_source(world: World, tmp_path: Path) -> None:
    """An editable installation says so, and where its source is."""
    source = tmp_path / "my source"
    source.mkdir()
    world.site.add("edited", good("other"), direct_url=_direct_url(source))

    (row,) = rows_beside_control(world)

    assert (row["state"], row["editable"], row["location"]) == ("ok", True, str(source))


def test_editable_installation_without_source_is_stale(world: World, tmp_path: Path) -> None:
    """When the source folder is gone, the row says so instead of a confusing import error."""
    world.site.add("edited", None, direct_url=_direct_url(tmp_path / "gone"))

    (row,) = rows_beside_control(world)

    assert (row["state"], row["reason"]) == ("stale-editable", "source-gone")
    assert row["fix"] == "pip uninstall edited"


def test_egg_info_beside_the_installed_distribution_is_one_row(world: World, tmp_path: Path) -> None:
    """A stale .egg-info of a source tree, earlier on the path, does not replace what is installed."""
    tree = tmp_path / "tree"
    world.site.add("twice", good("other"), version="2.0")
    stale = type(world.site)(tree)
    stale.add(
        "twice", None, version="1.0", folder="twice.egg-info", entry_points="[codex.plugins]\nold = gone\n"
    )
    world.search(tree, world.site.path)

    (row,) = rows_beside_control(world)

    assert (row["state"], row["version"], row["entry_point"]) == ("ok", "2.0", "plugin")
    assert [Path(copy).name for copy in row["copies"]] == ["twice.egg-info"]


def test_zipped_egg_is_listed_and_loads(world: World, tmp_path: Path) -> None:
    """A plugin within a zipped egg on the path is like any other."""
    egg = tmp_path / "zipped-1.0-py3.egg"
    with zipfile.ZipFile(egg, "w") as archive:
        archive.writestr("zipped.py", good("other"))
        archive.writestr("EGG-INFO/PKG-INFO", "Metadata-Version: 1.0\nName: zipped\nVersion: 1.0\n")
        archive.writestr("EGG-INFO/entry_points.txt", "[codex.plugins]\nzipped = zipped\n")
    world.search(world.site.path, egg)

    (row,) = rows_beside_control(world)

    assert (row["state"], row["dist"], row["version"]) == ("ok", "zipped", "1.0")


def test_namespace_package_over_two_distributions(world: World, tmp_path: Path) -> None:
    """Two distributions may share a namespace on two path entries; both are found and imported."""
    other = type(world.site)(tmp_path / "other")
    for site, name in ((world.site, "one"), (other, "two")):
        (site.path / "shared" / "deep").mkdir(parents=True)
        (site.path / "shared" / "deep" / f"{name}.py").write_text(good(name), encoding="utf-8")
        site.add(f"shared-{name}", None, module=f"shared.deep.{name}")
    world.search(world.site.path, other.path)

    assert [(row["name"], row["state"]) for row in rows_beside_control(world)] == [
        ("one", "ok"),
        ("two", "ok"),
    ]


@pytest.mark.parametrize("reverse", [False, True])
def test_two_versions_on_two_entries_are_one_row(world: World, tmp_path: Path, reverse: bool) -> None:
    """The first copy on the path counts, the other is noted; reversing the path reverses it."""
    other = type(world.site)(tmp_path / "other")
    world.site.add("double", good("first"), version="1.0")
    other.add("double", good("second"), version="2.0")
    world.search(*([other.path, world.site.path] if reverse else [world.site.path, other.path]))

    (row,) = rows_beside_control(world)

    assert (row["version"], row["name"]) == (("2.0", "second") if reverse else ("1.0", "first"))
    assert len(row["copies"]) == 1 and any(note.startswith("older-copy") for note in row["notes"])


def test_module_of_python_itself_is_refused(world: World) -> None:
    """An entry point that names a module of the standard library is refused before it is imported."""
    world.site.add("odd", entry_points="[codex.plugins]\nodd = json.tool\n")

    (row,) = rows_beside_control(world)

    assert (row["state"], row["reason"]) == ("invalid-ref", "foreign-module")


def test_module_of_another_distribution_is_flagged(world: World) -> None:
    """A module that the distribution did not install is listed with a remark."""
    world.site.write_module("of_another", good("other"))
    world.site.add("thief", None, module="of_another", record="thief-1.0.dist-info/METADATA,,\n")

    (row,) = rows_beside_control(world)

    assert any(note.startswith("module-elsewhere") for note in row["notes"])


def test_names_are_shown_in_their_canonical_spelling(world: World) -> None:
    """Whatever the spelling of a distribution's name, rows show the one of PEP 503."""
    world.site.add("Adv.Odd_Name--Dist", good("other"), folder="Adv.Odd_Name__Dist-1.0.dist-info")

    (row,) = rows_beside_control(world)

    assert (row["dist"], row["id"]) == ("adv-odd-name-dist", "adv-odd-name-dist/other")


def test_name_with_a_command_in_it_does_not_reach_the_fix(world: World) -> None:
    """What people paste holds nothing that a shell would run."""
    place = world.site.add("plain", None)
    (place / "METADATA").write_text("Name: x; touch $(id) \x1b[31m\nVersion: 1\n\n", encoding="utf-8")

    (row,) = rows_beside_control(world)

    assert row["dist"] == "x-touch-id-31m"
    assert row["fix"] == "pip install --force-reinstall x-touch-id-31m"


@pytest.mark.parametrize("name", ["naïve", "with spaces", "bell\x07 and \x1b[31mred", "日本"])
def test_odd_entry_point_names_are_listed(world: World, name: str) -> None:
    """Unicode, spaces and control characters in entry point names cost nobody a row."""
    world.site.add("odd-name", good("other"), entry_points=f"[codex.plugins]\n{name} = odd_name\n")

    (row,) = rows_beside_control(world)

    assert (row["state"], row["entry_point"]) == ("ok", name)


def test_entry_point_twice_is_invalid(world: World) -> None:
    """Two entry points of one name in one distribution: neither is believed."""
    world.site.add("twin", good("other"), entry_points="[codex.plugins]\na = twin\na = other\n")

    (row,) = rows_beside_control(world)

    assert (row["state"], row["reason"]) == ("invalid-ref", "duplicate-entry-point")


def test_odd_path_entries_are_passed_over(world: World, tmp_path: Path) -> None:
    """Missing folders, files, loops and relative entries on the path cost nothing but a remark."""
    (tmp_path / "file").write_text("no folder", encoding="utf-8")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    world.search(tmp_path / "missing", tmp_path / "file", tmp_path / "loop", "", "relative", world.site.path)

    assert rows_beside_control(world) == []
    assert {str(tmp_path / "missing"), str(tmp_path / "loop")} <= set(world.look(refresh=True).skipped)


def test_entries_that_differ_by_case_are_one_where_cases_are_folded(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a file system that folds cases, two spellings of one path entry give one row."""
    monkeypatch.setattr(os.path, "normcase", str.lower)
    world.search("/Some/Site", "/some/site", world.site.path)

    assert next(path for path in index.search_path() if "ite" in path) == "/Some/Site"
    assert "/some/site" not in index.search_path()


API_CASES = {
    "CODEX_API = (1, 99)": ("incompatible", "api-too-new", "pip install --upgrade codex-core"),
    "CODEX_API = (2, 0)": ("incompatible", "api-too-new", "pip install --upgrade codex-core"),
    "CODEX_API = (0, 9)": ("incompatible", "api-too-old", "pip install --upgrade versioned"),
    "CODEX_API = 'newest'": ("incompatible", "api-not-literal", None),
    "CODEX_API = (1, True)": ("incompatible", "api-not-literal", None),
    "CODEX_API = make()": ("incompatible", "api-not-literal", None),
    "CODEX_API: tuple[int, int] = (1, 0)": ("ok", None, None),
}


@pytest.mark.parametrize("line", API_CASES)
def test_api_is_compared_before_anything_is_imported(world: World, tmp_path: Path, line: str) -> None:
    """A plugin for another API is not imported, and the row names the side to upgrade."""
    imported = tmp_path / "imported"
    source = good("other").replace("CODEX_API = (1, 0)", line)
    world.site.add("versioned", f"open({str(imported)!r}, 'w').close()\n" + source)

    (row,) = rows_beside_control(world)

    state, reason, fix = API_CASES[line]
    assert (row["state"], row["reason"]) == (state, reason)
    assert fix is None or row["fix"] == fix
    assert imported.exists() == (state == "ok")


def test_api_that_is_not_declared_is_noted(world: World) -> None:
    """Without CODEX_API the oldest one is assumed, and the row says so."""
    world.site.add("silent", good("other").replace("CODEX_API = (1, 0)", ""))

    (row,) = rows_beside_control(world)

    assert (row["state"], row["api"]) == ("ok", [1, 0])
    assert row["notes"][0].startswith("api-not-declared")


@pytest.mark.parametrize("clauses", [">=2", "<1", "==1.*,>=1.5", "~=3.1"])
def test_requirement_of_another_core_is_incompatible(world: World, clauses: str) -> None:
    """A distribution that requires another core is not imported; the fix is the requirement itself."""
    world.site.add("future", good("other"), requires=[f"codex-core{clauses}"])

    (row,) = rows_beside_control(world)

    assert (row["state"], row["reason"]) == ("incompatible", "core-requirement")
    assert row["fix"] == f"pip install 'codex-core{clauses}'"


def test_reading_an_api_survives_any_source(tmp_path: Path) -> None:
    """Sources that do not parse, or nest too deep, have no API; the import tells what is wrong with them."""
    path = tmp_path / "odd.py"
    for content in (b"def (", b"\0", b"\xff\xfe", b"(" * 5000 + b")" * 5000, b""):
        path.write_bytes(content)
        assert read_api(str(path)) == (None, 0)
    assert read_api(str(tmp_path / "absent.py")) == (None, 0)

"""`codex registry show`: every claimant of a name, its options, where its code is, a configuration that validates."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from codex_core import config
from codex_core.cli.registry import snippet
from codex_core.components import KINDS
from codex_core.places import Places
from codex_core.planning.configio import plain, read
from codex_core.plugins.selection import Selection
from codex_core.registry import Registry
from tests.support.commands import Project
from tests.support.distributions import Site, good

#: A configuration with a place for every piece.
BASE = {
    "data": {"sources": [{"name": "codex-core/pydoc"}]},
    "tokenizer": {"name": "codex-core/bytes"},
    "model": {"name": "codex-core/ngram"},
    "trainer": {"name": "codex-core/ngram", "duration": "1 epoch"},
    "safety": {"name": "none", "reason": "a test"},
}


def ours(tmp_path: Path) -> Registry:
    """The registry of the five packages, as far as they are installed."""
    places = Places(root=tmp_path, home=tmp_path / "home", store=tmp_path / "store")
    return Registry.open(places=places, selection=Selection(only=[]))


def test_every_piece_of_configuration_validates(tmp_path: Path) -> None:
    """What `show` offers for each of our components is accepted where it says it belongs."""
    registry = ours(tmp_path)
    rows = [row for row in registry.rows if row.kind in KINDS and row.kind != "commands" and row.usable]
    assert {"tokenizers", "models", "datasets", "metrics", "writers", "trainers"} <= {
        row.kind for row in rows
    }
    for row, described in zip(rows, registry.describe_options(rows), strict=True):
        path = tmp_path / "piece.yaml"
        path.write_text(snippet(row, described), encoding="utf-8")
        values = {**BASE, **plain(read(path))}
        if row.kind in ("models", "trainers"):
            # The other half of the pair is that of the same runtime.
            other = "trainers" if row.kind == "models" else "models"
            pair = next(one for one in registry.of_kind(other) if one.runtime == row.runtime)
            values[other.removesuffix("s")] = {"name": pair.id}
            values["trainer"] = {"duration": "1 epoch", **values["trainer"]}

        config.from_mapping(values, source=row.id, registry=registry)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Two distributions that claim one name, one that claims a built-in name, and one that is broken."""
    site = Site(tmp_path / "site")
    site.add("dist-a", good("twin"))
    site.add("dist-b", good("twin"))
    site.add("dist-c", good("bytes"))
    site.add("dist-d", "raise ValueError('told')")
    return Project.make(
        tmp_path / "project",
        PYTHONPATH=str(site.path),
        CODEX_HOME=str(tmp_path / "home"),
        CODEX_PROBE_LIMIT_S="20",
    )


def test_ambiguous_name_shows_every_claimant(project: Project) -> None:
    """`show` explains a conflict instead of refusing it: both rows, each with who else claims the name."""
    said = project.codex("registry", "show", "tokenizers/twin")
    one = project.codex("registry", "show", "tokenizers/dist-b/twin", "--json")

    assert said.code == 1 and said.err == ""
    assert (
        "tokenizers/dist-a/twin  (conflict)" in said.out and "tokenizers/dist-b/twin  (conflict)" in said.out
    )
    assert "also claimed by: dist-b/twin" in said.out
    assert [row["id"] for row in one.json["components"]] == ["dist-b/twin"]
    assert one.json["components"][0]["others"] == ["dist-a/twin"]


def test_holder_and_shadow_of_a_name_are_both_shown(project: Project) -> None:
    """A built-in name is shown with the component that holds it and the one that it shadows."""
    said = project.codex("registry", "show", "tokenizers/bytes", "--json")

    states = {row["id"]: row["state"] for row in said.json["components"]}
    assert states == {"codex-core/bytes": "ok", "dist-c/bytes": "shadowed"}


def test_row_of_a_broken_plugin_can_be_shown_as_the_list_spells_it(project: Project) -> None:
    """`plugin/DIST/ENTRY`, as the listing prints it, is a name for `show`."""
    said = project.codex("registry", "show", "plugin/dist-d/plugin")

    assert said.code == 1
    assert "import-failed: ValueError: told at" in said.out and "fix: python -c 'import dist_d'" in said.out


@pytest.mark.parametrize(
    ("name", "code", "hint"), [("tokenizers/bites", 2, "bytes"), ("tokenizers/dist-z/twin", 2, "twin")]
)
def test_unknown_name_has_near_ones(project: Project, name: str, code: int, hint: str) -> None:
    """A typo is exit 2 with what may have been meant, in words and as JSON."""
    said = project.codex("registry", "show", name, "--json")

    assert said.code == code
    assert hint in json.dumps(said.json["error"])

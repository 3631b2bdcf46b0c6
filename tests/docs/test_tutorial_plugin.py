"""The tutorial on plugins does what it says: its shell blocks are run in order, in an environment of their own."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from codex_core.plugins.reasons import REASONS
from tests.support import sockets
from tests.support.commands import Said
from tests.support.scratch_environment import ScratchEnvironment

ROOT = Path(sockets.REPOSITORY)
PAGE = ROOT / "docs" / "tutorials" / "first-plugin.md"


def blocks() -> dict[str, str]:
    """The shell blocks of the tutorial by the heading above them, joined where a section has several."""
    found: dict[str, str] = {}
    for section in PAGE.read_text(encoding="utf-8").split("\n## ")[1:]:
        scripts = re.findall(r"```sh\n(.*?)```", section, flags=re.DOTALL)
        if scripts:
            found[section.partition("\n")[0]] = "".join(scripts)
    return found


class Reader:
    """Somebody who goes through the tutorial in a clone, section by section."""

    def __init__(self, folder: Path) -> None:
        self.environment = ScratchEnvironment.make(folder / "plugins")
        self.clone = folder / "clone"
        (self.clone / ".codex").mkdir(parents=True)
        kept = shutil.ignore_patterns("__pycache__")
        shutil.copytree(
            ROOT / "examples" / "plugin-hello", self.clone / "examples" / "plugin-hello", ignore=kept
        )
        (self.clone / "docs").symlink_to(ROOT / "docs")
        self.said: dict[str, Said] = {}
        self.rows: dict[str, list[dict[str, Any]]] = {}

    def follow(self) -> None:
        """Type every block, and look at the registry after each."""
        for heading, script in blocks().items():
            self.said[heading] = self.environment.shell(script, cwd=self.clone)
            assert self.said[heading].code == 0, f"{heading}: {self.said[heading]}"
            self.rows[heading] = self.codex("registry", "list", "--json").json["rows"]

    def codex(self, *arguments: str) -> Said:
        """Run codex in the clone."""
        return self.environment.run("codex", *arguments, cwd=self.clone)

    def offered(self, heading: str, dist: str) -> list[tuple[str, str]]:
        """Name and state of what a distribution offers after a section."""
        return [(row["name"], row["state"]) for row in self.rows[heading] if row["dist"] == dist]


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    """A reader who has come to the end."""
    for module in ("hatchling", "codex_safety"):
        pytest.importorskip(module)
    one = Reader(tmp_path_factory.mktemp("tutorial"))
    one.follow()
    return one


@pytest.mark.slow
def test_installed_plugin_is_listed(reader: Reader) -> None:
    """After `pip install` the row is there and ok, and `list` shows it to a person, too."""
    assert reader.offered("Install a plugin", "plugin-hello") == [("bits_per_character", "ok")]
    assert "bits_per_character" in reader.said["Install a plugin"].out


@pytest.mark.slow
def test_installed_plugin_works(reader: Reader) -> None:
    """The metric is measured in a training and by `evaluate`."""
    said = reader.said["Use it"]

    (metrics,) = reader.clone.glob("runs/*/metrics.ndjson")
    assert '"bits_per_character":' in metrics.read_text(encoding="utf-8")
    assert "bits_per_character" in said.out


@pytest.mark.slow
def test_tests_of_the_tutorial_pass(reader: Reader) -> None:
    """The plugin's own tests and the conformance suite run, for the example and for the new package."""
    for heading, test in (
        ("Check it", "metrics/plugin-hello/bits_per_character PASSED"),
        ("Check it", "plugin/plugin-hello/hello PASSED"),
        ("Make your own", "metrics/my-metric/my-metric PASSED"),
    ):
        assert test in reader.said[heading].out
    assert reader.offered("Make your own", "my-metric") == [("my-metric", "ok")]


@pytest.mark.slow
def test_removed_plugin_leaves_nothing(reader: Reader) -> None:
    """After `pip uninstall` no row of either package is left, in no state, and its name is unknown."""
    rows = reader.rows["Remove it"]

    assert {row["dist"] for row in rows} & {"plugin-hello", "my-metric"} == set()
    assert {row["state"] for row in rows} == {"ok"}
    names = [path.name for path in reader.environment.path.rglob("*")]
    assert [name for name in names if name.startswith(("plugin_hello", "my_metric"))] == []
    refused = reader.codex("train", "hello.yaml")
    assert refused.code == 2
    assert "bits_per_character" in refused.err


def test_every_reason_is_linked_from_the_how_to() -> None:
    """Whoever misses a plugin finds each reason code, with a link to its explanation."""
    page = (ROOT / "docs" / "how-to" / "my-plugin-is-not-listed.md").read_text(encoding="utf-8")
    links = [f"[`{code}`](../reference/registry-reasons.md#{code})" for code in REASONS]

    assert [link for link in links if link not in page] == []


def test_tutorial_has_what_it_promises() -> None:
    """The sections that the tests above look at are those of the page."""
    assert list(blocks()) == [
        "Install a plugin", "Use it", "How it is made", "Check it", "Make your own", "Remove it",
    ]  # fmt: skip

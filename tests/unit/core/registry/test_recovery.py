"""With every hostile distribution on the path at once, the commands that people repair with still answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.architecture.sources import ROOT
from tests.support.distributions import World, good
from tests.support.hostile import EFFECTS, EVIL, LOUD, POINTS, install_all

Codex = Callable[..., subprocess.CompletedProcess[str]]

#: Run before everything else in a process: notes every import of a module that lies in the hostile site.
AUDIT = """
import os, sys
site = os.environ["HOSTILE_SITE"]
def see(event, args):
    if event == "exec" and str(getattr(args[0], "co_filename", "")).startswith(site):
        sys.stderr.write("IMPORTED " + args[0].co_filename + "\\n")
sys.addaudithook(see)
from codex_core.__main__ import main
sys.exit(main())
"""


def command(home: Path, site: Path) -> Codex:
    """`codex ARGUMENTS` as a process that tells which modules of the site it imported."""

    def codex(*arguments: str, stdin: str | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
        search = os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])
        environment = {
            **os.environ,
            "PYTHONPATH": search,
            "HOSTILE_SITE": str(site),
            "CODEX_HOME": str(home / "home"),
            "CODEX_PROBE_LIMIT_S": "2",
            **environ,
        }
        line = [sys.executable, "-c", AUDIT, *arguments]
        return subprocess.run(
            line, env=environment, cwd=home, capture_output=True, text=True, check=False, input=stdin
        )

    return codex


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Codex]:
    """The command, in a project whose path holds every hostile distribution and one healthy control."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "project" / ".codex").mkdir(parents=True)
    with pytest.MonkeyPatch.context() as monkeypatch:
        world = World(folder, monkeypatch)
        install_all(world.site, folder / "gone")
    codex = command(folder / "project", world.site.path)
    codex("registry", "list")  # the cold look, with everything that hangs
    yield codex


ANSWERS = {
    "version": (["--version"], "codex 1."),
    "help": (["--help"], "registry"),
    "help of the group": (["registry", "--help"], "doctor"),
    "table": (["registry", "list"], "aa-control"),
    "rows": (["registry", "list", "--json"], '"aa-control"'),
    "rows of a kind": (["registry", "list", "tokenizers"], "aa-control"),
    "component": (["registry", "show", "tokenizers/control"], "name: aa-control/control"),
    "one plugin": (["registry", "doctor", "aa-control"], "1 of 1 plugins are ok"),
    "frozen set": (["registry", "freeze"], '"tokenizers/control"'),
    "switched off": (["-p", "no:evil-00", "registry", "list"], "blocked"),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", ANSWERS)
def test_recovery_command_answers(hostile: Codex, case: str) -> None:
    """The command exits 0, shows the healthy plugin, says nothing of its own trouble, and imports nobody's code."""
    arguments, shown = ANSWERS[case]

    done = hostile(*arguments)

    assert (done.returncode, done.stderr) == (0, "")
    assert shown in done.stdout and "\x1b[31m" not in done.stdout


@pytest.mark.slow
def test_frozen_set_is_clean_among_hostile_plugins(hostile: Codex) -> None:
    """`freeze | check` and `diff` are clean, twice to the byte, whatever else is on the path."""
    first, second = hostile("registry", "freeze"), hostile("registry", "freeze")

    assert first.stdout == second.stdout
    checked = hostile("registry", "check", "--frozen", "-", stdin=first.stdout)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert hostile("registry", "diff", "-", stdin=first.stdout).returncode == 0


@pytest.mark.slow
def test_every_hostile_distribution_has_its_row(hostile: Codex) -> None:
    """One row at least per distribution, the healthy one `ok`, and a reason with a fix for whatever is not."""
    rows = json.loads(hostile("registry", "list", "--json").stdout)["rows"]
    dists = {row["dist"] for row in rows}

    expected = {f"evil-{place:02}" for place in range(len(EVIL))}
    expected |= {f"odd-{place:02}" for place in range(len(EFFECTS) + len(LOUD))}
    expected |= {f"points-{place:02}" for place in range(len(POINTS))}
    expected |= {"aa-control", "adv-odd-name-dist", "no-metadata", "no-version", "stale", "wants-core"}
    assert expected - dists == set()
    assert [row["state"] for row in rows if row["dist"] == "aa-control"] == ["ok"]
    assert all(row["reason"] and row["hint"] and row["fix"] for row in rows if row["state"] != "ok")


@pytest.mark.slow
def test_doctor_examines_all_of_them(hostile: Codex) -> None:
    """The doctor ends with 0 and one verdict each; `--check` ends with 1; nothing is imported in its process."""
    done = hostile("registry", "doctor", "--json")

    assert (done.returncode, done.stderr) == (0, "")
    plugins = {plugin["dist"]: plugin for plugin in json.loads(done.stdout)["plugins"]}
    verdicts = {dist: plugin["verdict"] for dist, plugin in plugins.items()}
    assert verdicts["aa-control"] == "ok" and verdicts["codex-core"] == "ok"
    assert all(verdicts[f"evil-{place:02}"] not in ("ok", "remarks") for place in range(len(EVIL)))
    assert all(verdicts[f"odd-{place:02}"] == "remarks" for place in range(len(EFFECTS)))
    assert all(plugin["fix"] for plugin in plugins.values() if plugin["verdict"] != "ok")
    assert hostile("registry", "doctor", "api-99-0", "--check").returncode == 1


@pytest.fixture
def codex(world: World) -> Codex:
    """The command, in a project with the site of the world on its path."""
    return command(world.home.parent, world.site.path)


@pytest.mark.slow
def test_diff_names_what_was_lost_and_exits_with_1(world: World, codex: Codex, tmp_path: Path) -> None:
    """After removing a distribution, `diff` and `check` name it and its components; adding one harms no check."""
    world.site.add("dist-a", good("one"))
    file = tmp_path / "plugins.json"
    assert codex("registry", "freeze", "-o", str(file)).returncode == 0
    world.site.add("dist-b", good("two"))
    grown, unharmed = codex("registry", "diff", str(file)), codex("registry", "check", "--frozen", str(file))
    world.site.remove("dist-a")

    lost = codex("registry", "diff", str(file), "--json")

    assert (grown.returncode, grown.stdout) == (1, "new      dist-b/plugin 1.0\n  + tokenizers/two\n")
    assert (unharmed.returncode, unharmed.stdout) == (0, grown.stdout)
    assert lost.returncode == 1
    changes = json.loads(lost.stdout)["changes"]
    assert [(one["plugin"], one["what"], one["lost"]) for one in changes] == [
        ("dist-a/plugin", "lost", ["tokenizers/one"]),
        ("dist-b/plugin", "new", []),
    ]
    assert codex("registry", "check", "--frozen", str(file)).returncode == 1


@pytest.mark.slow
def test_check_needs_to_know_what(codex: Codex, tmp_path: Path) -> None:
    """Neither or both of a distribution and a frozen set, another file, an unknown name: each is explained."""
    other = tmp_path / "other.json"
    other.write_text("{}", encoding="utf-8")

    assert codex("registry", "check").returncode == 2
    assert codex("registry", "check", "codex-core", "--frozen", "-").returncode == 2
    assert "REG-018" in codex("registry", "check", "--frozen", str(other)).stderr
    unknown = codex("registry", "check", "codex-coer")
    assert unknown.returncode == 3 and "codex-core" in unknown.stderr
    assert codex("registry", "diff", "no-such-run").returncode == 4
    assert codex("registry", "freeze", "-o", str(tmp_path / "none" / "x.json")).returncode == 4


SHAPES = {
    "codex-registry-doctor/1": ["registry", "doctor", "dist-a", "--json"],
    "codex-registry-diff/1": ["registry", "diff", "-", "--json"],
    "codex-freeze/1": ["registry", "freeze"],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SHAPES)
def test_answer_has_the_shape_of_its_schema(world: World, codex: Codex, name: str) -> None:
    """What is printed as JSON has exactly the fields that the schema in the reference names."""
    world.site.add("dist-a", good())
    schema = json.loads(
        (ROOT / "docs" / "reference" / "schemas" / f"{name.replace('/', '-')}.json").read_text()
    )
    empty = json.dumps({"schema": "codex-freeze/1", "plugins": []})

    document = json.loads(codex(*SHAPES[name], stdin=empty).stdout)

    (inner,) = [one for one in schema["properties"].values() if "items" in one and "required" in one["items"]]
    (listed,) = [
        value
        for value in document.values()
        if isinstance(value, list) and value and isinstance(value[0], dict)
    ]
    assert document["schema"] == name and set(document) == set(schema["properties"])
    assert all(set(one) == set(inner["items"]["properties"]) for one in listed)

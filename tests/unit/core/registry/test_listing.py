"""`codex registry list` and `show`, as commands: what they print, what they import, how they end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from codex_core.__main__ import main
from codex_core.plugins import known, listing
from codex_core.plugins.reasons import NOTES, REASONS, STATES
from codex_core.plugins.selection import Selection
from tests.support.distributions import World, good

HEAVY = (
    "attrs",
    "cattrs",
    "click",
    "importlib.metadata",
    "importlib_metadata",
    "json",
    "numpy",
    "orjson",
    "pluggy",
    "rich",
)


def run(world: World, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """`codex ARGUMENTS` in a process of its own, with the site of the world on the path."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(world.site.path), os.environ.get("PYTHONPATH", "")]),
        "CODEX_HOME": str(world.home),
        "CODEX_PROBE_LIMIT_S": "2",
        **environ,
    }
    command = [sys.executable, "-m", "codex_core", *arguments]
    return subprocess.run(
        command, env=environment, cwd=world.home.parent, capture_output=True, text=True, check=False
    )


def listed(world: World, *arguments: str, **environ: str) -> list[dict[str, Any]]:
    """The rows of `registry list --json`."""
    done = run(world, "registry", "list", "--json", *arguments, **environ)
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    assert (document["schema"], document["api"]) == ("codex-registry-list/1", [1, 0])
    rows: list[dict[str, Any]] = document["rows"]
    return rows


def test_list_is_byte_identical_twice_and_imports_nothing_of_plugins(world: World) -> None:
    """The second listing equals the first to the byte; its process holds neither plugins nor heavy libraries."""
    world.site.add("dist-a", good())
    world.age()
    first = run(world, "registry", "list", "--json")
    script = (
        "import sys; from codex_core.__main__ import main; code = main(['registry', 'list', '--json'])\n"
        f"print([code, *sorted(set(sys.modules) & set({[*HEAVY, 'dist_a']!r}))], file=sys.stderr)"
    )
    environ = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    environ |= {"CODEX_HOME": str(world.home), "CODEX_PROBE_LIMIT_S": "2"}
    environ["PYTHONPATH"] = os.pathsep.join([str(world.site.path), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-c", script]
    second = subprocess.run(
        command, env=environ, cwd=world.home.parent, capture_output=True, text=True, check=False
    )

    assert (first.returncode, second.stdout) == (0, first.stdout)
    assert second.stderr == "[0]\n"


HOSTILE_NAME = "bell\x07\x1b[31m日本"


def test_listing_is_safe_on_an_ascii_terminal(world: World) -> None:
    """Control characters have no effect and Unicode no error under an ASCII locale, as table and as JSON."""
    world.site.add(
        "odd", "raise ValueError('\x1b[31m日本')", entry_points=f"[codex.plugins]\n{HOSTILE_NAME} = odd\n"
    )
    ascii_only = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}

    rows = listed(world, **ascii_only)
    table = run(world, "registry", "list", **ascii_only)

    assert [row["name"] for row in rows if row["dist"] == "odd"] == [HOSTILE_NAME]
    assert table.returncode == 0 and table.stdout.isascii()
    assert "\x1b" not in table.stdout and "\x07" not in table.stdout


def test_recovery_commands_work_with_broken_plugins(world: World) -> None:
    """`--version`, `--help`, `list` and `show` answer with the worst distributions on the path."""
    world.site.add("control", good())
    world.site.add("exits", "raise SystemExit(9)")
    world.site.add("dies", "import os\nos._exit(9)")
    world.site.add("latin", entry_points="[codex.plugins]\né = x\n".encode("latin-1"))
    world.site.add("noisy", "print('noise')\n" + good("noise"))

    rows = {row["dist"]: row["state"] for row in listed(world)}
    shown = run(world, "registry", "show", "tokenizers/control")
    unusable = run(world, "registry", "show", "tokenizers/control", "--json", CODEX_PLUGINS_OFF="exits")
    answers = [run(world, *line) for line in (["--version"], ["--help"], ["registry", "--help"])]

    expected = {"control": "ok", "exits": "broken", "dies": "broken", "latin": "unreadable", "noisy": "ok"}
    assert {dist: rows[dist] for dist in expected} == expected
    assert shown.returncode == 0 and "name: control/control" in shown.stdout
    assert json.loads(unusable.stdout)["components"][0]["id"] == "control/control"
    assert [done.returncode for done in answers] == [0, 0, 0]


def test_check_decides_the_exit_code(world: World) -> None:
    """`--check` exits 1 when a row is not ok, and only then."""
    world.site.add("broken-one", "raise ValueError")

    assert run(world, "registry", "list").returncode == 0
    assert run(world, "registry", "list", "--check").returncode == 1
    assert (
        run(world, "registry", "list", "tokenizers", "--check", CODEX_PLUGINS_OFF="broken-one").returncode
        == 0
    )


def test_misspelt_selection_is_reported_once_with_near_names(world: World) -> None:
    """A misspelt CODEX_PLUGINS_OFF is exit 2 for the listing too, and says what it might mean."""
    done = run(world, "registry", "list", "--json", CODEX_PLUGINS_OFF="codex-coer")

    assert done.returncode == 2
    assert done.stderr.count("error[REG-001]") == 1 and "codex-core" in done.stderr
    assert run(world, "-p", "no:codex-core/ngram", "registry", "list").returncode == 0


def test_unknown_kind_and_option_have_suggestions(world: World) -> None:
    """A typo in the kind or in an option is exit 2 with the nearest choice."""
    kind, option = run(world, "registry", "list", "tokenizer"), run(world, "registry", "list", "--jsn")

    assert (kind.returncode, option.returncode) == (2, 2)
    assert "tokenizers" in kind.stderr and "--json" in option.stderr


def test_path_entries_that_are_passed_over_are_told_when_asked(world: World, tmp_path: Path) -> None:
    """With `--verbose`, entries that are missing or relative are named on standard error; the listing is the same."""
    search = os.pathsep.join([str(world.site.path), str(tmp_path / "gone"), os.environ.get("PYTHONPATH", "")])

    quiet, said = (
        run(world, *line, PYTHONPATH=search) for line in (["registry", "list"], ["registry", "list", "-v"])
    )

    assert (quiet.returncode, said.returncode, quiet.stderr) == (0, 0, "")
    assert said.stdout == quiet.stdout
    assert f"{tmp_path / 'gone'} does not exist" in said.stderr


def test_closed_pipe_ends_quietly(world: World) -> None:
    """When the reader goes away, the command ends with 141 and says nothing."""
    listed(world)
    script = "import os; r, w = os.pipe(); os.close(r); os.dup2(w, 1)\n"
    script += "from codex_core.__main__ import main; os._exit(main(['registry', 'list', '--json']))"
    environ = {**os.environ, "CODEX_HOME": str(world.home)}

    done = subprocess.run(
        [sys.executable, "-c", script], env=environ, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (141, "")


def shown(world: World, capfd: pytest.CaptureFixture[str], **arguments: Any) -> tuple[int, str]:
    """What `listing.show` prints in this process, and its exit code."""
    capfd.readouterr()
    os.environ["CODEX_PROBE_LIMIT_S"] = "20"
    try:
        code = listing.show(Selection(), home=str(world.home), **arguments)
    finally:
        del os.environ["CODEX_PROBE_LIMIT_S"]
    return code, capfd.readouterr().out


def test_table_explains_every_row_that_is_not_ok(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    """Below the table, each row that is not ok has its reason and a fix that can be pasted."""
    world.site.add("dist-a", good())
    world.site.add("dist-b", "raise ValueError('told')")

    code, text = shown(world, capfd)

    assert code == 0
    assert "tokenizers  control  ok      dist-a 1.0    a good one" in text
    assert "broken[import-failed] plugin/dist-b/plugin: ValueError: told at" in text
    assert "  fix: python -c 'import dist_b'" in text
    assert text.endswith("1 of 2 rows are ok\n")


def test_all_adds_known_components_that_are_absent(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    """`--all` lists what could be installed, with the line that does it; `--check` does not mind."""
    code, text = shown(world, capfd, absent_too=True, check=True)

    assert code == 0
    assert "not-installed[known-elsewhere] models/codex-models/decoder" in text
    assert "  fix: pip install codex-models" in text
    _, filtered = shown(world, capfd, absent_too=True, kind="trainers", as_json=True)
    assert {row["state"] for row in json.loads(filtered)["rows"]} == {"not-installed"}


@pytest.mark.parametrize("columns", [80, 120])
def test_table_fits_the_terminal(columns: int) -> None:
    """No line is longer than the terminal, no word of a summary is lost, and a pipe gets one line per row."""
    summaries = ["Byte-level BPE: " + "lossless and frozen " * 5, "Short"]
    rows = [
        {"kind": "safety_policies", "name": name, "id": name, "state": "ok", "dist": "codex-tokenizers",
         "version": "1.0.0", "summary": summary, "notes": []}
        for name, summary in zip(["sentencepiece", "b"], summaries, strict=True)
    ]  # fmt: skip

    fitted = listing.table(rows, columns)

    assert max(map(len, fitted.splitlines())) <= columns
    assert fitted.split().count("lossless") == 5 and fitted.split().count("frozen") == 5
    assert listing.table(rows).splitlines()[1].endswith(summaries[0].strip())
    assert len(listing.table(rows).splitlines()) == 5


def test_empty_listing_says_so(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    """No row at all is a sentence, not an empty screen."""
    assert shown(world, capfd, kind="writers") == (
        0,
        "nothing is installed that offers components of this kind\n",
    )


def test_version_needs_no_registry(capsys: pytest.CaptureFixture[str]) -> None:
    """The version is printed before anything is looked at."""
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("codex 1.")


def test_every_state_has_a_reason_and_every_reason_a_state() -> None:
    """The catalogue is closed: reasons lead to states, states other than `ok` have reasons."""
    assert {state for state, _ in REASONS.values()} == set(STATES) - {"ok"}
    assert all(sentence.endswith(".") for _, sentence in REASONS.values())


def test_reference_has_an_anchor_for_every_state_reason_and_note() -> None:
    """`docs/reference/registry-reasons.md` explains each code under its own heading."""
    root = Path(__file__).resolve().parents[4]
    text = (root / "docs" / "reference" / "registry-reasons.md").read_text(encoding="utf-8")
    headings = {line.lstrip("#").strip().strip("`") for line in text.splitlines() if line.startswith("#")}

    assert set(STATES) | set(REASONS) | set(NOTES) <= headings


def test_known_components_are_what_the_packages_offer() -> None:
    """`known.json` is generated; a stale one names the command that renews it."""
    root = Path(__file__).resolve().parents[4]
    command = [sys.executable, "tools/make_known.py", "--check"]

    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert {one.kind for one in known.components()} >= {
        "tokenizers",
        "models",
        "trainers",
        "datasets",
        "metrics",
    }

"""Whatever a plugin module does when it is imported costs its own row at most; the healthy one stays listed."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from codex_core.components import MAX_COMPONENTS_PER_PLUGIN
from codex_core.plugins import probe
from codex_core.plugins.reasons import REASONS
from tests.support.distributions import World, good
from tests.support.hostile import EFFECTS, EVIL, TOO_MANY


def beside_control(world: World, source: str, **arguments: Any) -> dict[str, Any]:
    """The row of a distribution `bad` whose module has this source, between two healthy ones."""
    world.site.add("aa-control", good("first"))
    world.site.add("bad", source)
    world.site.add("zz-control", good("last"))
    rows = world.look(**arguments).rows
    assert [row["state"] for row in rows if row["dist"] != "bad"] == ["ok", "ok"]
    (row,) = [row for row in rows if row["dist"] == "bad"]
    return row


@pytest.fixture(scope="module")
def evil_rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The rows of all evil distributions, on the path at once with healthy ones before, among and after them."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        world = World(tmp_path_factory.mktemp("evil"), monkeypatch)
        for place in (0, len(EVIL) // 2, 99):
            world.site.add(f"d{place:02}-control", good(f"control{place}"))
        for place, (source, _) in enumerate(EVIL.values()):
            world.site.add(f"d{place:02}-evil", source)
        rows = world.look(limit_s=2).rows
    assert len({row["dist"] for row in rows}) == len(rows), "one row per distribution"
    return {row["dist"]: row for row in rows}


@pytest.mark.parametrize("case", EVIL)
def test_failing_plugin_costs_its_own_row(evil_rows: dict[str, dict[str, Any]], case: str) -> None:
    """Each way to fail has one row with its reason; nothing of the plugin is registered by halves."""
    row = evil_rows[f"d{list(EVIL).index(case):02}-evil"]
    reason = EVIL[case][1]

    assert (row["kind"], row["reason"], row["state"]) == ("plugin", reason, REASONS[reason][0])
    assert row["hint"] and row["fix"]


def test_healthy_plugins_are_listed_among_all_evil_ones(evil_rows: dict[str, dict[str, Any]]) -> None:
    """No evil distribution takes a healthy one down, wherever it stands in the order."""
    states = [row["state"] for row in evil_rows.values() if row["dist"].endswith("control")]

    assert states == ["ok", "ok", "ok"]


def test_details_of_deaths_and_counts_are_told(evil_rows: dict[str, dict[str, Any]]) -> None:
    """A death is told by its status, a hang by its place, a flood by its number."""

    def hint(case: str) -> str:
        return str(evil_rows[f"d{list(EVIL).index(case):02}-evil"]["hint"])

    assert hint("os._exit") == "the process ended with exit status 7"
    assert hint("signal to itself") == "the process was killed by SIGSEGV"
    assert hint("hangs").startswith("no answer within 2 s at File ") and "evil.py" in hint("hangs")
    assert str(TOO_MANY) in hint("too many")
    assert f"more than {MAX_COMPONENTS_PER_PLUGIN}" in hint("endless list")


@pytest.mark.parametrize(
    ("source", "where"),
    [
        ("def (", "bad.py:1"),
        ("x = 1\nraise ValueError('here')", "bad.py:2"),
        ("import json\njson.loads('{')", "bad.py:2"),
    ],
)
def test_failure_names_file_and_line(world: World, source: str, where: str) -> None:
    """The hint of a failing import points into the plugin's own file."""
    assert beside_control(world, source)["hint"].endswith(where)


def test_message_of_a_failure_has_no_effect_on_a_terminal(world: World) -> None:
    """Control characters and line ends in the text of an exception are spelt out, and the hint is one line."""
    hint = beside_control(world, "raise ValueError('\\x1b[2J\\nnext')")["hint"]

    assert hint.startswith(r"ValueError: \x1b[2J\nnext at ")


def test_missing_dependency_behind_an_extra_names_the_extra(world: World) -> None:
    """A library that metadata puts behind an extra is answered with the line that installs the extra."""
    world.site.add("wanting", "import rouge_score_x", requires=['rouge-score-x>=1; extra == "eval"'])

    row = world.row("wanting")

    assert (row["state"], row["reason"]) == ("missing-extra", "missing-requirement")
    assert row["fix"] == "pip install 'wanting[eval]'"


def test_plugin_that_disarms_the_inner_watchdog_is_timed_out_from_outside(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second watchdog looks from outside at the journal, so a plugin cannot switch it off."""
    monkeypatch.setattr(probe, "GRACE_S", 0.2)
    source = (
        "import faulthandler, threading\nfaulthandler.cancel_dump_traceback_later()\nthreading.Event().wait()"
    )

    row = beside_control(world, source, limit_s=0.4)

    assert (row["state"], row["reason"]) == ("broken", "timed-out")


def test_time_for_all_is_limited_and_the_rest_is_unprobed(world: World) -> None:
    """When the time for all plugins is spent, the others are unprobed and never missing."""
    world.site.add("aa-slow", "import threading\nthreading.Event().wait()")
    world.site.add("bb-good", good())
    search = [str(world.site.path), *sys.path[2:]]

    slow, rest = probe.describe_plugins(["aa_slow", "bb_good"], search, probe.Limits(30.0, 0.5))

    assert {slow["problem"]["reason"], rest["problem"]["reason"]} == {"time-spent"}


def test_death_in_a_batch_is_confirmed_alone(world: World) -> None:
    """A plugin that dies only because of what another one left behind is not blamed."""
    world.site.add("aa-trap", good("first", extra="import builtins\nbuiltins.trap = True\n"))
    dies = "import builtins, os\nif getattr(builtins, 'trap', False): os._exit(3)\n"
    world.site.add("bb-victim", dies + good("second"))

    states = {row["dist"]: row["state"] for row in world.look().rows}

    assert states == {"aa-trap": "ok", "bb-victim": "ok"}


def test_printing_plugin_is_noted(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    """What a plugin prints reaches neither output of this process; the row has the amount."""
    row = beside_control(world, good(extra="import sys\nprint('hello')\nprint('x', file=sys.stderr)\n"))

    assert row["state"] == "ok"
    assert "prints: 8 bytes" in row["notes"]
    assert capfd.readouterr() == ("", "")


def test_warning_plugin_is_noted_once(world: World) -> None:
    """A warning at import is attributed to its distribution."""
    row = beside_control(world, good(extra="import warnings\nwarnings.warn('old way')\n"))

    assert row["notes"] == ["warns: UserWarning: old way"]


@pytest.mark.parametrize("source", EFFECTS, ids=EFFECTS.values())
def test_side_effects_are_noted_and_do_not_reach_the_next_plugin(world: World, source: str) -> None:
    """A plugin that changes its process is usable, marked, and the next one gets a fresh process."""
    before = (list(sys.path), dict(os.environ), threading.active_count())

    row = beside_control(world, good("odd", extra=source))

    assert row["state"] == "ok"
    assert any(note.startswith("side-effects: ") and EFFECTS[source] in note for note in row["notes"])
    assert before == (list(sys.path), dict(os.environ), threading.active_count())


def test_heavy_import_is_named(world: World) -> None:
    """A plugin module that imports a heavy library is usable, and the row names the library."""
    world.site.write_module("torch", "")

    row = beside_control(world, good("heavy", extra="import torch\n"))

    assert row["notes"] == ["heavy-import: torch"]


def test_network_is_refused_and_noted(world: World, unguarded_children: None) -> None:
    """A plugin that connects while it is listed is refused, and the row says what it tried."""
    tries = "import socket\ntry:\n    socket.create_connection(('192.0.2.1', 80), 1)\nexcept PermissionError: pass\n"

    row = beside_control(world, good("caller", extra=tries))

    assert row["state"] == "ok"
    assert [note.partition(":")[0] for note in row["notes"]] == ["network"]


def test_callable_object_is_a_hook(world: World) -> None:
    """A hook may be an object that can be called."""
    extra = """
    class Offers:
        def __call__(self):
            return [Component("m", target="json:JSONDecoder", summary="")]
    codex_models = hookimpl(Offers())
    """
    world.site.add("object", good(extra=extra))

    assert [row["kind"] for row in world.look().rows] == ["tokenizers", "models"]


def test_hostile_attributes_are_never_called(world: World) -> None:
    """Objects whose `repr` or `__name__` raise are not asked for either."""
    extra = """
    class Hostile:
        def __repr__(self): raise SystemExit
        @property
        def __name__(self): raise SystemExit
    thing = Hostile()
    """
    assert beside_control(world, good("odd", extra=extra))["state"] == "ok"


JOURNAL = (
    "import os\n"
    "journal = next(fd for fd in range(3, 99) if os.path.realpath(f'/proc/self/fd/{fd}').endswith('journal'))\n"
)

FORGERIES = {
    "garbage": "os.write(journal, b'\\x00 no json\\n')\n",
    "own record": 'os.write(journal, b\'{"n": 4, "pid": %d, "event": "end"}\\n\' % os.getpid())\n',
    "endless line": "os.write(journal, b'[' * 100000 + b'\\n')\n",
    "truncated": "os.ftruncate(journal, 0)\n",
}


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="runs on Linux only")
@pytest.mark.parametrize("case", FORGERIES)
def test_plugin_that_writes_into_the_journal_is_not_believed(world: World, case: str) -> None:
    """The journal is hostile input: a plugin that writes into it breaks its own row and nobody else's."""
    row = beside_control(world, JOURNAL + FORGERIES[case] + good("forger"))

    assert row["state"] == "broken"
    assert row["reason"] in ("bad-report", "process-died")


def test_forking_plugin_cannot_report_twice(world: World) -> None:
    """A plugin that forks while it is imported is listed once; its copy of the probe is not listened to."""
    row = beside_control(world, "import os\nos.fork()\n" + good("forked"))

    assert row["state"] == "ok"
    assert any("processes" in note for note in row["notes"])


def test_patched_standard_library_does_not_reach_the_report(world: World) -> None:
    """What runs after plugin code was bound before it."""
    patch = "import json, os\njson.dumps = json.JSONEncoder.encode = None\nos.write = os._exit = None\n"

    assert beside_control(world, good("patcher", extra=patch))["state"] in ("ok", "broken")


def test_events_only_plugin_has_a_row_of_its_own(world: World) -> None:
    """A plugin that only listens is listed under the kind `events`."""
    world.site.add(
        "listener", "from codex_core import hookimpl\n@hookimpl\ndef codex_run_finished(ctx): pass\n"
    )

    row = world.row("listener")

    assert (row["kind"], row["name"], row["state"]) == ("events", "plugin", "ok")


def test_probe_that_cannot_start_leaves_plugins_unprobed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no process can be started, plugins are unprobed, with the reason."""
    world.site.add("healthy", good())
    monkeypatch.setattr(sys, "executable", "/nowhere/python")

    row = world.row("healthy")

    assert (row["state"], row["reason"]) == ("unprobed", "no-probe")
    assert "No such file" in row["hint"]


def test_child_has_the_flags_and_environment_of_its_parent(world: World, tmp_path: Path) -> None:
    """A plugin sees the same environment, no standard input, and a working directory that is not the user's."""
    seen = tmp_path / "seen"
    script = "import os, sys\n"
    script += "seen = [os.environ.get('X_SEEN'), sys.stdin.read(), os.getcwd(), sys.path]\n"
    script += f"open({str(seen)!r}, 'w').write(repr(seen))\n"
    world.site.add("curious", script + good())
    os.environ["X_SEEN"] = "yes"
    try:
        world.look()
    finally:
        del os.environ["X_SEEN"]

    value, stdin, cwd, path = eval(seen.read_text(encoding="utf-8"))
    assert (value, stdin) == ("yes", "")
    assert cwd != os.getcwd() and not os.path.exists(cwd)
    assert os.path.dirname(probe.CHILD) not in path

"""The doctor: each plugin in a process of its own, what it does there, and the verdict."""

from __future__ import annotations

import os
import sys
import threading

import pytest

from codex_core.errors import UsageError
from codex_core.plugins import doctor, index, probe
from codex_core.plugins.doctor import Exam
from codex_core.plugins.selection import Selection
from tests.support.distributions import World, good

LIMITS = probe.Limits(20.0, 60.0)
HANGS = "import threading\nthreading.Event().wait()"


def examined(
    world: World, *names: str, limits: probe.Limits = LIMITS, **selection: object
) -> dict[str, Exam]:
    """The exams by distribution."""
    chosen = Selection(**selection)  # type: ignore[arg-type]  # as `Selection` takes them
    exams = doctor.examine(names, selection=chosen, search=index.search_path(), limits=limits)
    return {exam.dist: exam for exam in exams}


def codes(exam: Exam) -> list[str]:
    """The codes of the remarks."""
    return [code for code, _, _ in exam.remarks]


def test_healthy_plugin_is_ok_with_measurements(world: World) -> None:
    """A plugin that only describes is well: its components, its milliseconds and how its process ended are told."""
    world.site.add("healthy", good())

    exam = examined(world)["healthy"]

    assert (exam.verdict, exam.is_well, exam.exit, exam.remarks) == ("ok", True, "exit status 0", ())
    assert exam.components == ("tokenizers/control",)
    assert exam.import_ms is not None and exam.memory_mb is not None


def test_death_of_a_plugin_is_told_by_its_exit_status(world: World) -> None:
    """A plugin that ends its process is broken, with the status; the others are examined all the same."""
    world.site.add("aa-dies", "import os\nos._exit(7)")
    world.site.add("bb-signal", "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)")
    world.site.add("cc-healthy", good())

    exams = examined(world)

    assert [exam.verdict for exam in exams.values()] == ["broken", "broken", "ok"]
    assert (exams["aa-dies"].reason, exams["aa-dies"].exit) == ("process-died", "exit status 7")
    assert exams["bb-signal"].exit == "killed by SIGSEGV"
    assert exams["aa-dies"].fix


def test_hanging_plugins_delay_nobody(world: World) -> None:
    """Each plugin has its own time limit: hanging ones time out, with the place, and the others are examined."""
    world.site.add("aa-hangs", HANGS)
    world.site.add("bb-hangs", HANGS)
    world.site.add("cc-healthy", good())

    exams = examined(world, limits=probe.Limits(1.0, 2.0))

    assert {dist: exam.verdict for dist, exam in exams.items()} == {
        "aa-hangs": "broken",
        "bb-hangs": "broken",
        "cc-healthy": "ok",
    }
    assert (exams["aa-hangs"].reason, exams["aa-hangs"].exit) == ("timed-out", "timed out")
    assert "aa_hangs.py" in str(exams["aa-hangs"].hint)


EFFECTS = {
    "import threading\nthreading.Thread(target=threading.Event().wait, name='mine').start()\n": (
        "threads: mine (not a daemon)"
    ),
    "import sys\nsys.path.append('/somewhere')\n": "sys.path: +/somewhere",
    "import os\nos.environ['X_OF_PLUGIN'] = 'a secret'\n": "environment: X_OF_PLUGIN",
    "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n": "signal handlers: SIGTERM",
    "import os\nos.chdir('/')\n": "working directory: /",
}


@pytest.mark.parametrize("source", EFFECTS, ids=EFFECTS.values())
def test_change_of_the_process_is_named(world: World, source: str) -> None:
    """Threads, search path, environment (names only), signal handlers and folder are compared; nobody waits."""
    before = (list(sys.path), dict(os.environ), threading.active_count())
    world.site.add("odd", good(extra=source))

    exam = examined(world)["odd"]

    assert (exam.verdict, exam.exit, exam.reason) == ("remarks", "exit status 0", "side-effects")
    assert exam.side_effects == (EFFECTS[source],) and exam.fix
    assert EFFECTS[source] in exam.remarks[0][1]
    assert before == (list(sys.path), dict(os.environ), threading.active_count())


def test_cost_and_noise_are_told(world: World) -> None:
    """A heavy library, output and warnings at import are remarks, each with what its author does about it."""
    world.site.write_module("torch", "ballast = bytearray(50 << 20)\nballast[::4096] = ballast[::4096]\n")
    world.site.add(
        "loud", good(extra="import torch, warnings\nprint('hello\\x1b[2J')\nwarnings.warn('old way')\n")
    )

    exam = examined(world)["loud"]

    assert exam.verdict == "remarks"
    assert codes(exam) == ["heavy-import", "prints", "warns", "memory"]
    assert exam.heavy == ("torch",) and (exam.memory_mb or 0) > doctor.BUDGET_MB
    assert (exam.printed, exam.printed_bytes) == (r"hello\x1b[2J", 10)
    assert exam.warnings == ("UserWarning: old way",)
    assert all(fix for _, _, fix in exam.remarks)


def test_slow_import_is_over_budget(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """An import that takes longer than the budget is remarked on, with both numbers."""
    monkeypatch.setattr(doctor, "BUDGET_MS", 0.0)
    world.site.add("slow", good())

    exam = examined(world)["slow"]

    assert codes(exam) == ["slow-import"] and exam.remarks[0][1].endswith("allowed are 0")


def test_connection_is_refused_and_named(world: World, unguarded_children: None) -> None:
    """A plugin that connects is refused; the address it wanted is told."""
    tries = "import socket\ntry:\n    socket.create_connection(('192.0.2.1', 80), 1)\nexcept OSError: pass\n"
    world.site.add("caller", good(extra=tries))

    exam = examined(world)["caller"]

    assert codes(exam) == ["network"] and "192.0.2.1" in exam.network[0]


def test_plugin_that_is_not_started_has_the_verdict_of_its_row(world: World) -> None:
    """What metadata or the user rules out is not imported; the verdict, reason and fix are those of the listing."""
    world.site.add("aa-new", "CODEX_API = (99, 0)\nraise SystemExit")
    world.site.add("bb-off", "raise SystemExit")
    world.site.add("cc-latin", entry_points=b"[codex.plugins]\n\xe9 = x\n")
    world.site.add(
        "dd-wants",
        good(
            extra="@hookimpl\ndef codex_models():\n    return [Component('m', "
            "target='json:loads', summary='', requires=('not_there_at_all',))]\n"
        ),
    )

    exams = examined(world, off=["bb-off"])

    assert [(exam.verdict, exam.exit) for exam in exams.values()] == [
        ("incompatible", None),
        ("blocked", None),
        ("unreadable", None),
        ("missing-extra", "exit status 0"),
    ]
    assert all(exam.reason and exam.hint and exam.fix for exam in exams.values())


@pytest.mark.parametrize("name", ["Bb.One", "point", "bb-one/point"])
def test_names_choose_who_is_examined(world: World, name: str) -> None:
    """A distribution in any spelling, an entry point, or both together; the others are not imported."""
    world.site.add("aa-dies", "import os\nos._exit(7)")
    world.site.add("bb-one", good(), entry_point="point")

    assert list(examined(world, name)) == ["bb-one"]


def test_misspelt_name_has_near_names(world: World) -> None:
    """A name that nobody has is an error with the nearest one."""
    world.site.add("healthy", good())

    with pytest.raises(UsageError, match="healthy"):
        examined(world, "helthy")


def test_exams_are_told_as_they_end(world: World) -> None:
    """Who watches hears of each plugin once; the result comes in the order of the listing."""
    for name in ("aa", "bb", "cc"):
        world.site.add(name, good(name))
    heard: list[str] = []

    exams = doctor.examine(
        (),
        selection=Selection(),
        search=index.search_path(),
        limits=LIMITS,
        on_exam=lambda exam: heard.append(exam.dist),
    )

    assert [exam.dist for exam in exams] == sorted(heard) == ["aa", "bb", "cc"]


def test_place_without_processes_leaves_plugins_unprobed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no process can be started, nothing is held against the plugin."""
    world.site.add("healthy", good())
    monkeypatch.setattr(sys, "executable", "/nowhere/python")

    exam = examined(world)["healthy"]

    assert (exam.verdict, exam.reason) == ("unprobed", "no-probe")

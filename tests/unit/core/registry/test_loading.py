"""Using a component: whatever its code does, the answer is an error that names distribution, phase and place."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from codex_core.errors import CodexError, MissingDependency
from codex_core.events import RunFinishedContext
from codex_core.plugins import loading
from codex_core.plugins.loading import PluginError
from codex_core.plugins.selection import Selection
from codex_core.registry import Registry
from tests.support.distributions import World, good


@pytest.fixture
def make(world: World) -> Callable[..., Registry]:
    """A function that installs `dist-a` with one tokenizer in a module of this source, and opens the registry."""

    def make(source: str, *, target: str = "target_module:Thing", extra: str = "") -> Registry:
        world.site.write_module("target_module", source)
        world.site.add("dist-a", good("mytok", target=target, extra=extra))
        sys.modules.pop("target_module", None)
        return Registry(world.look(), Selection())

    return make


def load(registry: Registry) -> Any:
    """Load the one tokenizer."""
    return registry.load(registry.find("tokenizers", "mytok"))


TOKENIZER = "class Thing:\n    train = load = None\n"

FAILURES = {
    "SyntaxError": ("def (", "import", "REG-011", "target_module.py:1"),
    "RecursionError": ("def f(): f()\nf()", "import", "REG-011", "target_module.py:"),
    "SystemExit": ("raise SystemExit(3)", "import", "REG-011", "target_module.py:1"),
    "KeyboardInterrupt": ("raise KeyboardInterrupt", "import", "REG-011", "target_module.py:1"),
    "BaseException": ("class E(BaseException): pass\nraise E", "import", "REG-011", "target_module.py:2"),
    "unprintable": (
        "class E(Exception):\n def __str__(self): raise SystemExit\nraise E",
        "import",
        "REG-011",
        ":3",
    ),
    "attribute": ("Thin = 5", "attr", "REG-012", "did you mean Thin?"),
    "hostile attribute": ("def __getattr__(name): raise SystemExit", "attr", "REG-012", "SystemExit"),
    "type": ("Thing = 5", "type", "REG-013", "without train, load"),
}


@pytest.mark.parametrize("case", FAILURES)
def test_failure_is_contained_and_named(make: Callable[..., Registry], case: str) -> None:
    """Each way to fail names the phase, the distribution and the place; the process lives."""
    source, phase, code, said = FAILURES[case]

    with pytest.raises(PluginError) as failure:
        load(make(source))

    assert (failure.value.phase, failure.value.code, failure.value.exit_code) == (phase, code, 3)
    assert failure.value.where == "distribution dist-a"
    assert said in str(failure.value)


def test_absent_module_is_found_missing(make: Callable[..., Registry]) -> None:
    """A target module that vanished since the listing fails in the phase `find`."""
    registry = make(TOKENIZER)
    os.unlink(Path(sys.path[1]) / "target_module.py")
    sys.path_importer_cache.clear()

    with pytest.raises(PluginError) as failure:
        load(registry)

    assert (failure.value.phase, failure.value.code) == ("find", "REG-010")


def test_missing_dependency_names_what_and_who(make: Callable[..., Registry]) -> None:
    """A library that is missing deep inside is named, with who requires it and where."""
    with pytest.raises(MissingDependency, match="absent_library") as failure:
        load(make("import absent_library"))

    assert failure.value.exit_code == 3
    assert "dist-a" in str(failure.value.why) and "target_module.py:1" in str(failure.value.where)


def test_failure_is_not_remembered(make: Callable[..., Registry], tmp_path: Path) -> None:
    """After the cause is gone, the same process loads the component."""
    gate = tmp_path / "gate"
    registry = make(f"import os\nif not os.path.exists({str(gate)!r}): raise OSError\n" + TOKENIZER)
    with pytest.raises(PluginError):
        load(registry)

    gate.touch()

    assert load(registry).__name__ == "Thing"


def test_two_threads_get_one_object(make: Callable[..., Registry]) -> None:
    """Two threads that use a component for the first time import it once and hold the same object."""
    registry = make("import time\nTIMES = globals().get('TIMES', 0) + 1\n" + TOKENIZER)
    together = threading.Barrier(2)
    held: list[Any] = []

    def use() -> None:
        together.wait()
        held.append(load(registry))

    threads = [threading.Thread(target=use) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert held[0] is held[1]
    assert sys.modules["target_module"].TIMES == 1


def test_two_threads_see_the_same_failure(make: Callable[..., Registry]) -> None:
    """When the first use fails, both threads get the same error, and standard output is where it was."""
    registry = make("print('noise')\nraise ValueError('mine')")
    together = threading.Barrier(2)
    errors: list[str] = []
    before = sys.stdout

    def use() -> None:
        together.wait()
        try:
            load(registry)
        except PluginError as error:
            errors.append(str(error))

    threads = [threading.Thread(target=use) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(errors) == 2 and errors[0] == errors[1] and "ValueError: mine" in errors[0]
    assert sys.stdout is before


def test_printing_component_does_not_reach_standard_output(
    make: Callable[..., Registry], capsys: pytest.CaptureFixture[str]
) -> None:
    """What a component prints while it is imported goes to standard error: results on standard output still parse."""
    load(make("print('noise')\n" + TOKENIZER))
    print("result")

    assert capsys.readouterr() == ("result\n", "noise\n")


def test_registry_is_a_snapshot_while_components_load_and_plugins_change(
    world: World, tmp_path: Path
) -> None:
    """While one walks the rows, components load others and distributions come and go; the walk is not disturbed."""
    nested = "import builtins\nbuiltins.load_other()\n" + TOKENIZER
    world.site.write_module("outer_target", nested)
    world.site.write_module("other_target", TOKENIZER)
    world.site.add("dist-a", good("outer", target="outer_target:Thing"))
    world.site.add("dist-b", good("other", target="other_target:Thing"))
    registry = Registry(world.look(), Selection())
    import builtins

    def load_other() -> None:
        world.site.add("dist-c", good("third"))
        anew = Registry(world.look(), Selection())
        assert [row.name for row in anew.rows] == ["other", "outer", "third"]
        anew.load(anew.find("tokenizers", "other"))

    builtins.load_other = load_other  # type: ignore[attr-defined]
    try:
        walked = [registry.load(row).__module__ for row in registry.rows]
    finally:
        del builtins.load_other  # type: ignore[attr-defined]

    assert walked == ["other_target", "outer_target"]
    assert [row.name for row in registry.rows] == ["other", "outer"]


def test_component_that_needs_itself_is_a_clear_error(make: Callable[..., Registry]) -> None:
    """A target that asks for itself while it is imported gets an error, no deadlock and no recursion."""
    registry = make("import builtins\nbuiltins.load_mytok()\n" + TOKENIZER)
    import builtins

    builtins.load_mytok = lambda: load(registry)  # type: ignore[attr-defined]
    try:
        with pytest.raises(PluginError, match="while target_module:Thing is being loaded"):
            load(registry)
    finally:
        del builtins.load_mytok  # type: ignore[attr-defined]


def test_interrupt_of_the_user_passes(make: Callable[..., Registry]) -> None:
    """A Ctrl-C that arrives while a plugin is imported stops the command; it is not the plugin's failure."""
    registry = make("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nfor _ in range(10**7): pass\n")
    before = signal.getsignal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        load(registry)

    assert signal.getsignal(signal.SIGINT) is before


def test_options_and_estimates_are_loaded_on_their_own(world: World) -> None:
    """The options class and the estimate are imported without the target."""
    extra = """
    @hookimpl
    def codex_models():
        return [Component("m", target="no_torch_here:M", options="opts:O", estimate="opts:guess", summary=""),
                Component("bad", target="no_torch_here:M", options="opts:guess", summary="")]
    """
    world.site.add("dist-a", good(extra=extra))
    world.site.write_module("no_torch_here", "raise SystemExit")
    world.site.write_module(
        "opts",
        """
        import attrs
        from codex_core.options import option
        @attrs.frozen(kw_only=True)
        class O:
            \"\"\"Options of m.\"\"\"
            width: int = option(8, doc="how wide", minimum=1, unit="cells")
            must: str = option(doc="has to be given", choices=("a", "b"))
        def guess(options, lock): return 0
        """,
    )
    sys.modules.pop("opts", None)
    registry = Registry(world.look(), Selection())
    row = registry.find("models", "m")

    assert registry.options_class(row).__name__ == "O"  # type: ignore[union-attr]
    assert registry.estimate(row)(None, None) == 0  # type: ignore[misc]
    assert registry.options_class(registry.find("tokenizers", "control")) is None
    with pytest.raises(PluginError, match="no attrs class"):
        registry.options_class(registry.find("models", "bad"))
    described, nothing = registry.describe_options([row, registry.find("tokenizers", "control")])
    assert (described["doc"], nothing["fields"]) == ("Options of m.", [])
    assert [(one["name"], one["required"], one["default"]) for one in described["fields"]] == [
        ("width", False, 8),
        ("must", True, None),
    ]


def test_options_are_described_without_running_them_here(world: World) -> None:
    """Describing options that fail to import costs a message, in whatever way they fail."""
    extra = """
    @hookimpl
    def codex_models():
        names = ("exits", "dies", "lacks")
        return [Component(n, target="json:loads", options=f"{n}_opts:O", summary="") for n in names]
    """
    world.site.add("dist-a", good(extra=extra))
    world.site.write_module("exits_opts", "raise SystemExit")
    world.site.write_module("dies_opts", "import os\nos._exit(9)")
    world.site.write_module("lacks_opts", "")
    registry = Registry(world.look(), Selection())

    problems = [one["problem"] for one in registry.describe_options(registry.of_kind("models"))]

    assert [problem["reason"] for problem in problems] == ["process-died", "import-exits", "import-failed"]


LISTENER = """
from codex_core import hookimpl
CALLS = []
@hookimpl
def codex_run_finished(ctx):
    CALLS.append(ctx.run_id)
    {body}
"""


def finished(tmp_path: Path) -> RunFinishedContext:
    """The context of a finished run."""
    return RunFinishedContext(run_id="r1", run_dir=tmp_path, status="finished", step=1, telemetry={})


def test_event_reaches_every_listener_and_failures_are_set_aside(world: World, tmp_path: Path) -> None:
    """A failing event hook is reported with its place, not called again, and keeps nobody else from listening."""
    for dist, body in (("aa-fails", "raise SystemExit"), ("bb-listens", "pass")):
        world.site.add(dist, LISTENER.format(body=body))
    world.site.add("cc-silent", good())
    for name in ("aa_fails", "bb_listens", "cc_silent"):
        sys.modules.pop(name, None)
    registry = Registry(world.look(), Selection())

    first = registry.fire("codex_run_finished", finished(tmp_path))
    second = registry.fire("codex_run_finished", finished(tmp_path))

    assert [(failure.plugin, failure.hook) for failure in first] == [
        ("aa-fails/plugin", "codex_run_finished")
    ]
    assert "SystemExit" in first[0].reason and "aa_fails.py:7" in first[0].reason
    assert second == []
    assert sys.modules["aa_fails"].CALLS == ["r1"] and sys.modules["bb_listens"].CALLS == ["r1", "r1"]
    assert "cc_silent" not in sys.modules, "who listens to nothing is not imported"
    assert registry.fire("codex_run_started", None) == []
    with pytest.raises(ValueError, match="no event"):
        registry.fire("codex_models", None)


def test_frozen_plugins_name_what_is_installed_without_measurements(world: World) -> None:
    """Freezing twice gives the same; a changed component gives another digest; broken plugins are left out."""
    world.site.add("dist-a", good("one"))
    world.site.add("dist-b", "raise ValueError")
    frozen = Registry(world.look(), Selection()).freeze()

    assert frozen == Registry(world.look(refresh=True), Selection()).freeze()
    assert [(one["dist"], one["version"], one["entry_point"], one["module"]) for one in frozen] == [
        ("dist-a", "1.0", "plugin", "dist_a")
    ]
    world.site.write_module("dist_a", good("two"))
    assert frozen[0]["components"] != Registry(world.look(), Selection()).freeze()[0]["components"]


def test_callable_targets_are_accepted_by_contract() -> None:
    """A class, a function or an object counts by what it offers, not by what it is."""
    assert loading.load_target("json:JSONDecoder", dist="d", what="w") is not None
    with pytest.raises(PluginError):
        loading.load_target("json:JSONDecoder", dist="d", what="w", kind="trainers")


def test_plugin_errors_are_errors_a_user_can_act_on(make: Callable[..., Registry]) -> None:
    """Whatever fails in a plugin is a CodexError with a fix, never a traceback."""
    with pytest.raises(CodexError) as failure:
        load(make("1 / 0"))

    assert "ZeroDivisionError" in str(failure.value) and failure.value.fix

"""The frozen set of plugins: written down, compared, verified by workers and on resume."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from codex_core.errors import CodexError, InputError, MissingDependency
from codex_core.events import Warned
from codex_core.plugins import discovery, frozen, probe
from codex_core.plugins.frozen import Change, verify_frozen
from codex_core.plugins.selection import Selection
from codex_core.registry import Registry
from tests.support.distributions import World, good
from tests.support.small_runs import fail_at, go_on, start, the_run
from tests.support.small_training import SmallWork

LISTENS = "\n@hookimpl\ndef codex_run_finished(ctx): pass\n"


def freeze(world: World) -> tuple[dict[str, Any], ...]:
    """What is frozen of a world."""
    return Registry(world.look(), Selection()).freeze()


def test_equal_installations_freeze_to_equal_bytes(world: World) -> None:
    """Freezing twice, and after looking at everything again, gives the same file; measurements are not in it."""
    world.site.add("dist-a", good())
    world.site.add("dist-b", good("other", extra=LISTENS))
    first = frozen.document(freeze(world))
    world.look(refresh=True)

    assert frozen.document(freeze(world)) == first
    assert frozen.compare(frozen.parse(first, where="here"), freeze(world)) == ()
    assert "import_ms" not in first and "memory" not in first


def test_lost_distribution_is_named_with_its_components(world: World) -> None:
    """Removing one distribution is one change that names it, its version and everything it offered."""
    world.site.add("dist-a", good("one"))
    world.site.add("dist-b", good("two"))
    before = freeze(world)
    world.site.remove("dist-b")

    assert frozen.compare(before, freeze(world)) == (
        Change("dist-b/plugin", "dist-b", "lost", "1.0", None, lost=("tokenizers/two",)),
    )
    assert frozen.compare(freeze(world), before)[0][:6] == (
        "dist-b/plugin",
        "dist-b",
        "new",
        None,
        "1.0",
        (),
    )


def test_upgrade_names_what_it_lost_added_and_altered(world: World) -> None:
    """Another version is told with the components that went, came, or are described otherwise."""
    more = "\n@hookimpl\ndef codex_models():\n    return [Component({name!r}, target='json:loads', summary='')]\n"
    world.site.add("dist-a", good("stays") + more.format(name="goes"))
    before = freeze(world)
    world.site.remove("dist-a")
    source = good("stays", target="json:JSONDecoder") + more.format(name="comes") + LISTENS
    world.site.add("dist-a", source, version="1.1")

    (change,) = frozen.compare(before, freeze(world))

    assert (change.what, change.before, change.after) == ("changed", "1.0", "1.1")
    assert (change.lost, change.new, change.altered) == (
        ("models/goes",),
        ("models/comes",),
        ("tokenizers/stays",),
    )
    assert change.details == ("events: [] -> ['codex_run_finished']",)


def test_unusable_plugins_are_not_frozen(world: World) -> None:
    """What cannot be used is not part of the set; that it breaks later is a loss."""
    world.site.add("dist-a", good())
    before = freeze(world)
    world.site.write_module("dist_a", "raise ValueError")

    assert freeze(world) == ()
    assert [change.what for change in frozen.compare(before, freeze(world))] == ["lost"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"schema": "codex-freeze/1"}',
        '{"schema": "codex-freeze/1", "plugins": [1]}',
        "[" * 10**5,
    ],
)
def test_what_is_no_frozen_set_is_refused(text: str) -> None:
    """A file of another kind is an error with its place, never an empty set."""
    with pytest.raises(InputError, match="here"):
        frozen.parse(text, where="here")


def test_worker_verifies_without_looking_anew(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Verifying neither scans the path nor starts a probe nor imports a plugin."""
    world.site.add("dist-a", good())
    world.site.add("no-metadata", good("other"), metadata=None)
    world.site.add("dist.Odd", good("third"))
    held = freeze(world)
    for module, name in ((discovery, "scan"), (probe, "describe_plugins")):
        monkeypatch.setattr(module, name, None)

    verify_frozen(held)
    verify_frozen(json.loads(frozen.document(held))["plugins"])

    assert len(held) == 3 and not {"dist_a", "no_metadata", "dist_odd"} & set(sys.modules)


def test_worker_names_everything_that_is_missing_or_other(world: World) -> None:
    """A plugin that was removed, replaced by another version, or lost its module is named, all of them at once."""
    for name in ("aa", "bb", "cc"):
        world.site.add(name, good(name))
    held = freeze(world)
    world.site.remove("aa")
    world.site.remove("bb")
    world.site.add("bb", good("bb"), version="2.0")
    (world.site.path / "cc.py").unlink()

    with pytest.raises(MissingDependency) as failure:
        verify_frozen(held)

    errors: list[CodexError] = [failure.value, *failure.value.related]
    assert [(error.code, error.what) for error in errors] == [
        ("REG-016", "the plugin aa/plugin 1.0 is missing"),
        ("REG-017", "the plugin bb/plugin is 2.0, frozen was 1.0"),
        ("REG-016", "the plugin cc/plugin 1.0 is missing"),
    ]
    assert "tokenizers/aa" in str(errors[0].why) and errors[0].fix == "pip install 'aa==1.0'"


WORKERS = """
import json, multiprocessing, shutil, sys
from pathlib import Path

from codex_core.errors import CodexError
from codex_core.places import find_places
from codex_core.registry import Registry, verify_frozen


def work(method, registry, answers):
    from codex_core.plugins import discovery, probe

    discovery.scan = probe.describe_plugins = None  # a worker that looks anew fails here
    try:
        verify_frozen(registry.freeze())
        loaded = registry.load(registry.find("tokenizers", "control"))
        answers.put([registry.freeze(), loaded.__name__, "aa_control" in sys.modules])
    except CodexError as error:
        answers.put(error.as_dict())


def ask(method, registry):
    context = multiprocessing.get_context(method)
    answers = context.SimpleQueue()
    process = context.Process(target=work, args=(method, registry, answers))
    process.start()
    answer = answers.get()
    process.join()
    return answer


if __name__ == "__main__":
    registry = Registry.open(places=find_places(Path.cwd()))
    there = [ask(method, registry) for method in ("fork", "spawn")]
    shutil.rmtree(sys.argv[1])
    gone = [ask(method, registry) for method in ("fork", "spawn")]
    print(json.dumps([registry.freeze(), there, gone]))
"""


@pytest.mark.slow
def test_forked_and_spawned_workers_see_the_frozen_set(world: World, tmp_path: Path) -> None:
    """Workers hold the set of their parent without looking; a plugin removed in between is an error that names it."""
    place = world.site.add("aa-control", good(target="codex_core.data.bytes_tokenizer:BytesTokenizer"))
    script = tmp_path / "workers.py"
    script.write_text(WORKERS, encoding="utf-8")
    search = os.pathsep.join([str(world.site.path), os.environ.get("PYTHONPATH", "")])
    environ = {**os.environ, "PYTHONPATH": search, "CODEX_HOME": str(world.home)}
    command = [sys.executable, str(script), str(place)]

    done = subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True, check=True)

    held, there, gone = json.loads(done.stdout)
    assert "aa-control" in {plugin["dist"] for plugin in held}
    assert there == [[held, "BytesTokenizer", False]] * 2
    assert gone[0] == gone[1]
    assert (gone[0]["code"], gone[0]["what"]) == ("REG-016", "the plugin aa-control/plugin 1.0 is missing")


def plugin(
    dist: str, version: str = "1.0", events: tuple[str, ...] = (), **components: str
) -> dict[str, Any]:
    """One plugin of a frozen set."""
    about = {"dist": dist, "version": version, "entry_point": "plugin", "module": dist, "api": [1, 0]}
    return {**about, "components": components, "events": list(events)}


def broken_run(work: SmallWork, *plugins: dict[str, Any]) -> None:
    """A run that froze these plugins and died in its third step."""
    work.registry.frozen = plugins
    fail_at(work, 3, RuntimeError("power"))
    with pytest.raises(RuntimeError):
        start(work)
    lock = the_run(work).path / "lock.json"
    lock.write_text(json.dumps({**json.loads(lock.read_text()), "plugins": list(plugins)}))


def test_resume_refuses_when_a_plugin_of_the_run_is_gone(tmp_path: Path) -> None:
    """A plugin that gave the run a component and is not installed any more is named before anything is done."""
    work = SmallWork(tmp_path)
    broken_run(work, plugin("small"), plugin("other"))
    work.registry.frozen = (plugin("other"),)

    with pytest.raises(MissingDependency, match=r"small/plugin 1\.0 is missing"):
        go_on(work, the_run(work))

    assert len(list(the_run(work).journal.glob("r0-a2-*"))) == 0, "no attempt was begun"


def test_resume_goes_on_without_what_was_dropped(tmp_path: Path) -> None:
    """A plugin whose metric the configuration no longer names may be gone."""
    work = SmallWork(tmp_path)
    broken_run(work, plugin("small"))
    lock = the_run(work).path / "lock.json"
    held = json.loads(lock.read_text())
    dropped = {"id": "gone/metric", "version": "1.0", "options": {}}
    held["components"]["evaluation.metrics[1]"] = dropped
    lock.write_text(json.dumps({**held, "plugins": [plugin("small"), plugin("gone")]}))
    work.registry.frozen = (plugin("small"),)

    with pytest.raises(MissingDependency, match="gone/plugin"):
        go_on(work, the_run(work))

    assert go_on(work, the_run(work), asked=work.plan(steps=8)).status == "finished"


def test_resume_tells_what_differs_of_the_plugins_it_imports(tmp_path: Path) -> None:
    """Another version of a plugin that the run uses, and listeners that went, are told; others may come and go."""
    work = SmallWork(tmp_path)
    listener = plugin("listener", events=("codex_run_finished",))
    broken_run(work, plugin("small", model="sha256:1"), listener, plugin("other"))
    work.registry.frozen = (plugin("small", "1.1", model="sha256:2"), plugin("newcomer"))

    result = go_on(work, the_run(work))

    told = sorted(event.text for event in work.seen(Warned) if event.text.startswith("plugins."))
    assert result.status == "finished"
    assert told == [
        "plugins.listener/plugin was '1.0' and is 'not installed'",
        "plugins.small/plugin was '1.0' and is '1.1'",
    ]


def test_resume_tells_of_other_components_in_the_same_version(tmp_path: Path) -> None:
    """A plugin that was edited without a new version is told with the components that differ."""
    work = SmallWork(tmp_path)
    broken_run(work, plugin("small", model="sha256:1"))
    work.registry.frozen = (plugin("small", model="sha256:2"),)

    go_on(work, the_run(work))

    told = [event.text for event in work.seen(Warned) if event.text.startswith("plugins.")]
    assert told == ["plugins.small/plugin was '1.0' and is '1.0 with other parts (model)'"]

"""The index: as fresh as looking again, and never required."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from pathlib import Path

import pytest

from codex_core.plugins import index, probe, survey
from codex_core.plugins.selection import Selection
from tests.support.distributions import World, good


class Traced:
    """A world with one plugin, and how often plugins were imported in it."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self.log = folder / "imports"
        self.log.touch()
        self.add("dist-a", "one")

    def add(self, dist: str, name: str, extra: str = "") -> Path:
        """Install a plugin whose import leaves a letter in the log."""
        trace = f"with open({str(self.log)!r}, 'a') as log: log.write({dist[-1]!r})\n"
        return self.world.site.add(dist, trace + good(name, extra=extra))

    def names(self) -> list[str]:
        """The names of all rows, as the registry gives them now."""
        return [row["name"] for row in self.world.look().rows]

    def imported(self) -> str:
        """Letters of the plugins imported so far."""
        return self.log.read_text(encoding="utf-8")


@pytest.fixture
def traced(world: World, tmp_path: Path) -> Traced:
    """One traced plugin."""
    return Traced(world, tmp_path)


def test_second_look_imports_nothing(traced: Traced, monkeypatch: pytest.MonkeyPatch) -> None:
    """While nothing changes, the stored answer is given, equal to the byte."""
    first = traced.world.look()
    monkeypatch.setattr(probe, "describe_plugins", lambda *a: pytest.fail("probed again"))

    second = traced.world.look()

    assert (second.rendered, second.rows, second.facts) == (first.rendered, first.rows, first.facts)
    assert traced.imported() == "a"


def test_installing_is_seen_and_only_the_new_plugin_is_imported(traced: Traced) -> None:
    """A new distribution is in the next answer; the others are not imported again."""
    traced.names()
    traced.add("dist-b", "two")

    assert traced.names() == ["one", "two"]
    assert traced.imported() == "ab"


def test_uninstalling_is_seen(traced: Traced) -> None:
    """A removed distribution is not in the next answer, and nothing is imported for that."""
    traced.add("dist-b", "two")
    traced.names()
    traced.world.site.remove("dist-b")

    assert traced.names() == ["one"]
    assert traced.imported() == "ab"


def test_edit_in_place_of_equal_size_is_seen_at_once(traced: Traced) -> None:
    """An edit of a module within the same instant, of the same length, with the old times, is seen."""
    path = traced.world.site.path / "dist_a.py"
    assert traced.names() == ["one"]
    before = path.stat()
    path.write_text(path.read_text(encoding="utf-8").replace("'one'", "'two'"), encoding="utf-8")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert traced.names() == ["two"]


def test_edit_of_entry_points_is_seen(traced: Traced) -> None:
    """An entry point renamed in place is in the next answer."""
    traced.names()
    file = next(traced.world.site.path.glob("dist_a-*.dist-info")) / "entry_points.txt"
    file.write_text("[codex.plugins]\nplugin = other_module\n", encoding="utf-8")
    traced.world.site.write_module("other_module", good("other"))

    assert traced.names() == ["other"]


def test_upgrade_is_seen(traced: Traced) -> None:
    """Another version of a distribution is in the next answer."""
    traced.names()
    traced.world.site.remove("dist-a")
    traced.world.site.add("dist-a", good("newer"), version="2.0")

    (row,) = traced.world.look().rows
    assert (row["name"], row["version"]) == ("newer", "2.0")


def test_edit_of_what_a_plugin_imports_or_reads_is_seen(traced: Traced) -> None:
    """Modules that a plugin imports, its own or shared ones, and files that it reads, count like its module."""
    data = traced.world.site.path / "names.json"
    data.write_text('["r1"]', encoding="utf-8")
    traced.world.site.write_module("shared_names", "NAME = 's1'")
    reads = f"""
    import json, shared_names
    @hookimpl
    def codex_models():
        names = [shared_names.NAME, *json.load(open({str(data)!r}))]
        return [Component(n, target="json:JSONDecoder", summary="") for n in names]
    """
    traced.add("dist-b", "two", extra=reads)
    assert traced.names() == ["one", "two", "r1", "s1"]

    data.write_text('["r2"]', encoding="utf-8")
    assert traced.names() == ["one", "two", "r2", "s1"]
    assert traced.imported() == "abb", "what only one plugin reads concerns only this one"
    traced.world.site.write_module("shared_names", "NAME = 's2'")
    assert traced.names() == ["one", "two", "r2", "s2"]
    assert traced.imported() == "abbab", "a shared module concerns every plugin"


def test_failed_plugin_is_tried_again_on_any_miss_only(world: World, tmp_path: Path) -> None:
    """A failure is remembered while nothing changes, and tried again as soon as anything does."""
    world.site.add("dist-a", f"open({str(tmp_path / 'log')!r}, 'a').write('x')\nraise ValueError")
    for _ in range(2):
        assert world.row("dist-a")["state"] == "broken"
    assert (tmp_path / "log").read_text(encoding="utf-8") == "x"

    world.site.add("dist-b", good())
    world.look()

    assert (tmp_path / "log").read_text(encoding="utf-8") == "xx"


def test_timed_out_plugin_is_not_tried_again_on_every_miss(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hang costs its time once: it is tried again when its file changes, after an hour, or when asked."""
    log = tmp_path / "log"
    world.site.add(
        "dist-a", f"open({str(log)!r}, 'a').write('x')\nimport threading\nthreading.Event().wait()"
    )
    assert world.row("dist-a", limit_s=0.4)["reason"] == "timed-out"

    world.site.add("dist-b", good())
    assert world.row("dist-a", limit_s=0.4)["reason"] == "timed-out"
    assert log.read_text(encoding="utf-8") == "x"

    later = time.time() + survey.RETRY_S + 1
    monkeypatch.setattr(time, "time", lambda: later)
    assert world.row("dist-a", limit_s=0.4)["reason"] == "timed-out"
    assert log.read_text(encoding="utf-8") == "xx"


def test_unprobed_plugins_are_looked_at_by_the_next_command(
    traced: Traced, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer in which somebody is unprobed is never taken for the last word."""
    with monkeypatch.context() as inner:
        inner.setattr("sys.executable", "/nowhere/python")
        identity = index.identity
        inner.setattr(index, "identity", lambda *a: identity(*a).replace("/nowhere/python", "x"))
        assert [row["state"] for row in traced.world.look().rows] == ["unprobed"]

    assert [row["state"] for row in traced.world.look().rows] == ["ok"]


def test_refresh_looks_again(traced: Traced) -> None:
    """`--refresh` imports everything again, whatever is stored."""
    traced.names()
    traced.world.look(refresh=True)

    assert traced.imported() == "aa"


def stored_file(world: World) -> Path:
    """The one index file."""
    (path,) = (world.home / "index").iterdir()
    return path


@pytest.mark.parametrize(
    "damage", ["empty", "truncated", "flipped", "garbage", "foreign magic", "writable by others"]
)
def test_damaged_index_is_replaced(traced: Traced, damage: str) -> None:
    """Whatever happened to the file, the answer is right, and the file is whole again."""
    right = traced.world.look().rendered
    path = stored_file(traced.world)
    content = path.read_bytes()
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 1
    damaged = {
        "empty": b"",
        "truncated": content[: len(content) // 2],
        "flipped": bytes(flipped),
        "garbage": b"\xff" * 100,
        "foreign magic": content.replace(b"codex-index/1", b"codex-index/9", 1),
        "writable by others": content,
    }[damage]
    path.write_bytes(damaged)
    if damage == "writable by others":
        path.chmod(0o666)

    assert json.loads(b"[" + traced.world.look().rendered + b"]")[0]["name"] == "one"
    assert stored_file(traced.world).stat().st_mode & 0o777 == 0o600
    assert traced.world.look().rows[0]["id"] == json.loads(b"[" + right + b"]")[0]["id"]


def test_index_of_another_user_is_ignored(traced: Traced, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that somebody else owns is not believed."""
    traced.names()
    monkeypatch.setattr(os, "geteuid", lambda: os.stat(stored_file(traced.world)).st_uid + 12345)

    assert index._is_trusted(os.stat("/")) is True, "what root installed is believed"
    owner = stored_file(traced.world).stat()
    assert owner.st_uid == 0 or index._is_trusted(owner) is False


def test_unwritable_place_costs_only_time(traced: Traced) -> None:
    """Where nothing can be stored, the answer is the same."""
    blocked = traced.world.home
    blocked.parent.mkdir(exist_ok=True)
    blocked.write_text("a file where the folder should be", encoding="utf-8")

    assert [traced.names(), traced.names()] == [["one"], ["one"]]
    assert traced.imported() == "aa"


def test_each_identity_has_its_own_file(traced: Traced) -> None:
    """Selections do not overwrite each other's answers, and old files are forgotten in the end."""
    traced.names()
    traced.world.look(off=["dist-a"])
    traced.names()

    assert traced.imported() == "a"
    place = traced.world.home / "index"
    assert len(list(place.iterdir())) == 2
    for number in range(index.KEPT_FILES + 5):
        (place / f"{number}.idx").touch()
    traced.world.look(only=["dist-a"])
    assert len(list(place.iterdir())) == index.KEPT_FILES


def test_place_can_be_chosen(traced: Traced, tmp_path: Path) -> None:
    """CODEX_INDEX is the one place if it is set; else the user's cache, then what the installation brought."""
    traced.world.look(environ={"CODEX_INDEX": str(tmp_path / "mine")})

    assert len(list((tmp_path / "mine").iterdir())) == 1
    assert index.folders({"CODEX_HOME": "/h"})[0] == "/h/index"
    assert index.folders({"XDG_CACHE_HOME": "/c"})[0] == "/c/codex/index"
    assert index.folders({})[1].endswith("share/codex/index")


def test_path_with_a_newline_is_not_stored(world: World, tmp_path: Path) -> None:
    """A path that the format cannot spell means that nothing is stored; the answer is right all the same."""
    odd = type(world.site)(tmp_path / "new\nline")
    odd.add("dist-a", good("one"))
    world.search(odd.path)

    assert [row["name"] for row in world.look().rows] == ["one"]
    assert not list((world.home / "index").glob("*.idx"))


def test_requirement_that_cannot_be_encoded_is_not_stored(world: World) -> None:
    """A requirement that is no text for a file means that nothing is stored; the row says that it is missing."""
    world.site.add("dist-a", good().replace("summary=", "requires=('\\ud800',), summary="))

    assert world.row("dist-a")["state"] == "missing-extra"
    assert not list((world.home / "index").glob("*.idx"))


def _write(place: str, number: int) -> None:
    for turn in range(20):
        rows = f"{number} {turn} ".encode() * 2000
        index.write("same", place, inputs=[], presence={}, expires=1e12, rows=rows, facts=b"{}")


def test_sixteen_writers_never_leave_a_torn_file(tmp_path: Path) -> None:
    """Readers see one whole answer or another while many processes write."""
    writers = [multiprocessing.Process(target=_write, args=(str(tmp_path), number)) for number in range(16)]
    for writer in writers:
        writer.start()
    seen = 0
    while any(writer.is_alive() for writer in writers):
        if list(tmp_path.glob("*.idx")):
            found = index.read("same", [str(tmp_path)])
            assert found is not None and len(set(found.rows.split())) <= 36
            seen += 1
    for writer in writers:
        writer.join()

    assert seen and [writer.exitcode for writer in writers] == [0] * 16
    assert len(list(tmp_path.iterdir())) == 1, "no temporary file is left"


def test_young_files_are_compared_by_content_until_they_are_old(tmp_path: Path) -> None:
    """A digest is kept for what was younger than two seconds, or lies in the future, and dropped afterwards."""
    path = tmp_path / "file"
    path.write_text("x", encoding="utf-8")
    now = time.time_ns()

    assert index.describe(str(path), now).split(" ")[1] != "-"
    assert index.describe(str(path), now + 3_000_000_000).split(" ")[1] == "-"
    assert index.describe(str(tmp_path / "absent"), now) == f"absent - {tmp_path / 'absent'}"


def test_young_answer_settles_without_looking_again(traced: Traced, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once its files are old, a valid answer is stored anew without digests, and nothing is scanned for that."""
    traced.names()
    assert any(line.split(" ")[1] != "-" for line in held_inputs(traced.world))
    monkeypatch.setattr(survey.discovery, "scan", lambda search: pytest.fail("scanned again"))
    later = time.time_ns() + 3_000_000_000
    monkeypatch.setattr(time, "time_ns", lambda: later)

    assert traced.names() == ["one"]

    assert all(line.split(" ")[1] == "-" for line in held_inputs(traced.world))
    assert traced.names() == ["one"]


def held_inputs(world: World) -> list[str]:
    """The input lines of the one index file."""
    stored = index._read_file(str(stored_file(world)))
    assert stored is not None
    return stored.inputs


def test_search_path_leaves_out_where_python_started(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The working directory and the folder of the script are no places to search for plugins."""
    import sys

    start = sys.path[0]
    assert start not in index.search_path()
    monkeypatch.setattr(sys, "path", ["", "/usr/lib", "relative", None])
    assert index.search_path() == ["/usr/lib"]


def test_identity_names_what_answers_depend_on() -> None:
    """Search path, selection and version are part of the identity."""
    base = index.identity(["/a"], Selection().key, "1.0.0")

    assert base == index.identity(["/a"], Selection().key, "1.0.0")
    assert base not in {
        index.identity(["/a", "/b"], Selection().key, "1.0.0"),
        index.identity(["/a"], Selection(off=["x"]).key, "1.0.0"),
        index.identity(["/a"], Selection().key, "1.0.1"),
    }
    assert "\n" not in index.identity(["/with\nnewline"], "", "")

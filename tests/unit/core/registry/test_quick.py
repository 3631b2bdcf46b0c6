"""`load_component`: the short way from a name to its target decides like the registry, and imports next to nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zlib
from typing import Any

import pytest

import codex_core
from codex_core.errors import CodexError, MissingDependency, UnknownComponent, UsageError
from codex_core.plugins import quick
from codex_core.plugins.parsing import parse
from codex_core.plugins.selection import Selection
from tests.support.distributions import World, good

TOKENIZER = "class Tok:\n    train = load = classmethod(lambda cls: None)\n"

#: What the short way must not import.
LIBRARIES = (
    "attr", "attrs", "cattrs", "click", "importlib.metadata", "importlib_metadata", "json", "numpy", "orjson",
    "pluggy", "rich",
)  # fmt: skip


@pytest.fixture
def here(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """A world whose home this process uses, with one usable tokenizer and its stored answer."""
    monkeypatch.setenv("CODEX_HOME", str(world.home))
    monkeypatch.setenv("CODEX_PROBE_LIMIT_S", "20")
    world.site.add("dist-a", good("tok", target="target_a:Tok"))
    world.site.write_module("target_a", TOKENIZER)
    world.look()
    return world


@pytest.mark.parametrize("name", ["tok", "dist-a/tok"])
def test_bare_name_and_canonical_id_give_the_target(here: World, name: str) -> None:
    """Both spellings import the class behind the component, from the public name."""
    assert codex_core.load_component("tokenizers", name).__module__ == "target_a"


def test_stored_answer_that_no_longer_holds_is_not_used(here: World) -> None:
    """After an installation the short way looks again, as the registry does."""
    here.site.add("dist-b", good("later", target="target_b:Tok"))
    here.site.write_module("target_b", TOKENIZER)

    assert quick.stored(Selection(), "tokenizers") is None
    assert codex_core.load_component("tokenizers", "later").__module__ == "target_b"


def test_ambiguous_unknown_and_absent_names_are_refused_like_in_the_registry(here: World) -> None:
    """Two claimants, a typo and a known component that is not installed are the registry's three errors."""
    here.site.add("dist-b", good("tok", target="target_a:Tok"))

    with pytest.raises(UsageError, match="ambiguous"):
        codex_core.load_component("tokenizers", "tok")
    with pytest.raises(UnknownComponent, match="tokk"):
        codex_core.load_component("tokenizers", "tokk")
    with pytest.raises(MissingDependency, match="not installed"):
        codex_core.load_component("models", "decoder")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("raise SystemExit(3)", "importing .* fails"),
        ("raise KeyboardInterrupt", "importing .* fails"),
        ("", "does not exist"),
        ("class Tok: pass", "does not keep the contract"),
    ],
)
def test_failures_are_explained_by_the_registry(here: World, source: str, said: str) -> None:
    """Whatever goes wrong on the short way comes out as the registry words it, never as the plugin's exception."""
    module = f"failing_{zlib.crc32(source.encode())}"
    here.site.add("dist-f", good("bad", target=f"{module}:Tok"))
    here.site.write_module(module, source)
    here.look()

    with pytest.raises(CodexError, match=said) as refusal:
        codex_core.load_component("tokenizers", "bad")
    assert refusal.value.code.startswith("REG-")


def test_switched_off_component_is_not_loaded(here: World) -> None:
    """The selection of the caller holds on the short way too."""
    with pytest.raises(MissingDependency, match="blocked"):
        codex_core.load_component("tokenizers", "dist-a/tok", selection=Selection(off=["dist-a/tok"]))


def test_warm_loading_imports_no_library(world: World) -> None:
    """With a stored answer, resolving a name and importing its target brings none of the heavy libraries."""
    world.site.add("dist-a", good("tok", target="target_a:Tok"))
    world.site.write_module("target_a", TOKENIZER)
    world.age()
    script = (
        "import sys; from codex_core import load_component; load_component('tokenizers', 'tok')\n"
        f"print(*sorted(set(sys.modules) & set({LIBRARIES!r})))"
    )
    environ = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    environ["PYTHONPATH"] = os.pathsep.join([str(world.site.path), os.environ.get("PYTHONPATH", "")])
    environ |= {"CODEX_HOME": str(world.home), "CODEX_PROBE_LIMIT_S": "20"}

    def run() -> str:
        command = [sys.executable, "-c", script]
        done = subprocess.run(
            command, env=environ, cwd=world.home.parent, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    assert "attr" in run().split()  # nothing is stored yet: the long way
    assert run() == ""


@pytest.mark.parametrize(
    "value", [None, True, 1, -2.5e-7, 'é😀\x1b"\\', [], [1, [None]], {"a": {"b": "c"}, "d": []}]
)
def test_parsing_equals_json(value: Any) -> None:
    """Whatever `json` writes is read as `json` reads it."""
    assert parse(json.dumps(value)) == value


@pytest.mark.parametrize("text", ["", "{", "nul", "1 2", "[1,]", '"\x07"'])
def test_parsing_refuses_what_is_no_json(text: str) -> None:
    """Half a value, two values and control characters in strings are errors, as for `json`."""
    with pytest.raises(ValueError):
        json.loads(text)
    with pytest.raises(ValueError):
        parse(text)

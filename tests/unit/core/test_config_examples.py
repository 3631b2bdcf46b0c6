"""Every YAML file that is shipped: it loads, the JSON Schema accepts it, and together they show every key."""

from __future__ import annotations

from pathlib import Path

import pytest

from codex_core import config, plan
from codex_core.cli.config_doc import component_fields, section_fields
from codex_core.cli.config_schema import json_schema
from codex_core.cli.main import main
from codex_core.planning.configio import plain, read
from codex_core.planning.sections import COMPONENT_KINDS, COMPONENT_LISTS, SCHEMA
from codex_core.planning.structuring import flat
from codex_core.planning.versions import migrate
from tests.support.commands import safety_line
from tests.support.fake_registry import FakeRegistry
from tests.support.json_schema import mistakes
from tests.support.our_plugins import our_registry

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = sorted((ROOT / "examples" / "configs").glob("*.yaml"))
SHIPPED = [*EXAMPLES, *sorted(ROOT.glob("packages/*/src/*/presets/*.yaml"))]
NAMES = [path.stem for path in SHIPPED]


@pytest.fixture(scope="module")
def registry() -> FakeRegistry:
    """What this installation has of our packages."""
    return our_registry()


@pytest.mark.parametrize("path", SHIPPED, ids=NAMES)
def test_every_shipped_file_loads_and_resolves(path: Path, registry: FakeRegistry) -> None:
    """It says its version, holds what is required, makes a plan, and its resolved form has the same hash."""
    assert plain(read(path)).get("schema", SCHEMA) == SCHEMA
    loaded = config.load(path, registry=registry)
    assert loaded.notices == ()
    reason = "a test" if loaded.safety is not None and loaded.safety.name == "none" else None
    if loaded.safety is not None:
        plan.make(loaded, registry, bypass_reason=reason)
    again = config.from_mapping(loaded.as_dict(), source=path.name, registry=registry)
    assert again.hash() == loaded.hash()


@pytest.mark.parametrize("path", EXAMPLES, ids=[path.stem for path in EXAMPLES])
def test_every_example_says_its_version_and_what_it_shows(path: Path) -> None:
    """The first line is a comment, the schema is written, and there is nothing to migrate."""
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# ") and migrate(text, source=path.name) == (text, [])


def test_a_base_and_an_override_are_shipped() -> None:
    """One example stands alone, the others build on it."""
    extends = {path.stem: plain(read(path)).get("extends") for path in EXAMPLES}
    assert extends.pop("base") is None
    assert set(extends.values()) == {"base.yaml"}


def test_every_key_has_an_example(registry: FakeRegistry) -> None:
    """Each key of each section and each option of each component of ours is written in some shipped example."""
    written: set[str] = set()
    for path in EXAMPLES:
        values = plain(read(path))
        written |= {_generic(key) for key in flat(values)} | values.keys()
        written |= {
            f"{name}.{key}"
            for name in values
            for key in (values[name] if isinstance(values[name], dict) else ())
        }
        written |= {
            f"{_name_of(choice)}:{key}"
            for _, choice in _choices(values)
            for key in {*choice, *(path.rpartition(".")[2] for path in flat(choice))}
        }
    missing = [field.path for field in section_fields() if field.path not in written]
    assert missing == []
    options = {
        f"{field.owner.partition('/')[2]}:{field.path.rpartition('.')[2]}"
        for field in component_fields(registry)
    }
    assert sorted(options - written) == []


def _generic(path: str) -> str:
    return path.partition("[")[0]


def _choices(values: dict) -> list[tuple[str, dict]]:
    """Every component that a file writes, with its options; one without a name is the base's."""
    base = plain(read(ROOT / "examples" / "configs" / "base.yaml"))
    found = []
    for section in COMPONENT_KINDS:
        if isinstance(values.get(section), dict):
            named = base.get(section)
            name = named["name"] if isinstance(named, dict) else named
            found.append((section, {"name": name, **values[section]}))
    for place in COMPONENT_LISTS:
        held = values
        for step in place.split("."):
            held = held.get(step, {})
        found += [(place, item) for item in held if isinstance(item, dict)]
    return found


def _name_of(choice: dict) -> str:
    return str(choice["name"]).rpartition("/")[2]


# ---- the schema for editors


@pytest.mark.parametrize("path", SHIPPED, ids=NAMES)
def test_the_json_schema_accepts_every_shipped_file(path: Path, registry: FakeRegistry) -> None:
    """What loads is not underlined in an editor, as far as the components are installed."""
    values = plain(read(path))
    named = {_name_of(choice) for _, choice in _choices(values)}
    for module, names in {
        "codex_models": {"decoder", "hf-causal", "torch"},
        "codex_tokenizers": {"bpe", "hf", "sentencepiece", "whitespace"},
        "codex_safety": {"secrets"},
        "codex_telemetry": {"tensorboard"},
    }.items():
        if named & names:
            pytest.importorskip(module)
    schema = json_schema(registry)
    assert list(mistakes(values, schema, root=schema)) == []


WRONG = {
    "an unknown section": {"modle": "ngram"},
    "an unknown key": {"run": {"sede": 1}},
    "an unknown option": {"model": {"name": "ngram", "ordr": 3}},
    "a wrong type": {"data": {"seq_len": "long"}},
    "a wrong choice": {"evaluation": {"split": "valid"}},
    "a bound": {"model": {"name": "ngram", "order": 99}},
    "a duration": {"checkpoint": {"every": "3 weeks"}},
    "another version": {"schema": "codex-run/2"},
    "a list item without a name": {"data": {"sources": [{"path": "x"}]}},
    "a safety without a reason": {"safety": {"name": "none"}},
}


@pytest.mark.parametrize("name", WRONG)
def test_the_json_schema_refuses_what_does_not_load(name: str, registry: FakeRegistry) -> None:
    """Each kind of mistake is seen in a file that extends another as in a whole one."""
    schema = json_schema(registry)
    whole = plain(read(ROOT / "examples" / "configs" / "base.yaml"))
    assert list(mistakes(whole, schema, root=schema)) == []
    assert list(mistakes({**whole, **WRONG[name]}, schema, root=schema))
    assert list(mistakes({"extends": "base.yaml", **WRONG[name]}, schema, root=schema))


@pytest.mark.parametrize("key", ["data", "model", "trainer", "tokenizer"])
def test_only_a_file_that_extends_another_may_leave_things_out(key: str, registry: FakeRegistry) -> None:
    """A whole file needs every required section, its keys and the names of components."""
    schema = json_schema(registry)
    whole = plain(read(ROOT / "examples" / "configs" / "base.yaml"))
    for held in ({name: item for name, item in whole.items() if name != key}, {**whole, key: {}}):
        assert list(mistakes(held, schema, root=schema))
        assert list(mistakes({**held, "extends": "base.yaml"}, schema, root=schema)) == []


# ---- trained


@pytest.mark.slow
def test_the_base_example_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the first lines of the example promise is true: it trains with the core alone."""
    (tmp_path / ".codex").mkdir()
    monkeypatch.chdir(tmp_path)
    base = ROOT / "examples" / "configs" / "base.yaml"
    (tmp_path / "run.yaml").write_text(f"extends: {base}\n{safety_line()}")
    assert main(["train", "run.yaml", "trainer.duration=2 steps", "--run-dir", "run"]) == 0
    assert (tmp_path / "run" / "metrics.csv").is_file()

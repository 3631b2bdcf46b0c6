"""Groups of options within options: overridden, explained and checked key by key, and what they need to be there."""

from __future__ import annotations

import attrs
import pytest

from codex_core import config, plan
from codex_core.cli.config_doc import explain
from codex_core.cli.config_schema import json_schema
from codex_core.errors import ConfigError, MissingDependency
from codex_core.options import option
from codex_core.planning.yamlout import write
from tests.support.fake_registry import FakeRegistry, FakeRow

CORE = (
    "codex-core=codex_core.data.plugin",
    "codex-core=codex_core.evaluation.plugin",
    "codex-core=codex_core.ngram.plugin",
)


@attrs.frozen(kw_only=True)
class Adapter:
    """A group of options."""

    rank: int = option(8, doc="inner width", minimum=1)


@attrs.frozen(kw_only=True)
class AdaptedOptions:
    """A model that may be adapted, with a library that nobody has."""

    adapter: Adapter | None = option(None, doc="train an adapter only")
    layers: int = option(1, doc="blocks")

    @property
    def needs(self) -> tuple[str, ...]:
        """What an adapter takes."""
        return ("a_library_that_nobody_has",) if self.adapter else ()


def _registry() -> FakeRegistry:
    core = FakeRegistry.of(*CORE)
    mine = FakeRow(
        kind="models",
        name="adapted",
        dist="codex-mine",
        target="mine:Model",
        options=f"{__name__}:AdaptedOptions",
        runtime="ngram",
    )
    return FakeRegistry((*core.rows, mine))


@pytest.fixture
def load(tmp_path):
    """Load a configuration of the adapted model with overrides."""

    def loaded(*overrides, model="adapted"):
        values = {
            "schema": "codex-run/1",
            "data": {"sources": ["pydoc"]},
            "tokenizer": "bytes",
            "model": model,
            "trainer": "ngram",
            "safety": {"name": "none", "reason": "a test"},
        }
        (tmp_path / "run.yaml").write_text(write(values))
        return config.load(tmp_path / "run.yaml", overrides, registry=_registry())

    return loaded


def test_a_key_of_a_group_can_be_overridden_and_tells_where_it_came_from(load):
    """`model.adapter.rank=4` makes the group, with the defaults of the other keys."""
    loaded = load("model.adapter.rank=4")
    assert loaded.as_dict()["model"]["adapter"] == {"rank": 4}
    assert loaded.origins["model.adapter.rank"] == "override model.adapter.rank=4"
    assert load("model.adapter={}").origins["model.adapter.rank"] == "default"


def test_a_group_that_was_written_as_null_can_be_set_key_by_key(load):
    """A resolved file writes `adapter: null`; an override over it is no contradiction."""
    loaded = load("model.adapter.rank=4", model={"name": "adapted", "adapter": None})
    assert loaded.as_dict()["model"]["adapter"] == {"rank": 4}


def test_mistakes_in_a_group_are_told_together_with_their_paths(load):
    """A bad value and an unknown key are two errors, each with the path of its own key."""
    with pytest.raises(ConfigError) as caught:
        load("model.adapter.rank=-1", "model.adapter.rnak=4")
    said = [caught.value, *caught.value.related]
    assert any("model.adapter.rank" in error.where and "at least 1" in error.what for error in said)
    assert any("model.adapter.rnak" in error.where and "did you mean 'rank'?" in error.why for error in said)


def test_the_keys_of_a_group_are_explained_and_stand_in_the_schema():
    """`explain` knows the group and each key of it; the JSON schema refuses other keys."""
    registry = _registry()
    assert [field.default for field in explain("model.adapter.rank", registry)] == ["8"]
    assert [field.path for field in explain("model.adapter", registry)] == ["model.adapter"]
    forms = json_schema(registry)["$defs"]["models"]["anyOf"]
    (mine,) = [form for form in forms if "adapter" in form.get("properties", {})]
    group = mine["properties"]["adapter"]["anyOf"][0]
    assert group["properties"]["rank"]["minimum"] == 1 and group["additionalProperties"] is False


def test_what_only_some_options_need_is_asked_for_with_them_alone(load):
    """A plan without the group is usable; with it, the missing library is named with the line that brings it."""
    plan.require_usable(plan.make(load(), _registry()))
    with pytest.raises(MissingDependency, match="missing-extra") as caught:
        plan.require_usable(plan.make(load("model.adapter.rank=4"), _registry()))
    assert caught.value.why == "with these options, a_library_that_nobody_has is not installed"
    assert caught.value.fix == "pip install codex-mine"

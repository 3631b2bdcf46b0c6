"""Configurations: read, checked as a whole, resolved, hashed and written back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import attrs
import pytest

from codex_core import config
from codex_core.config import RunConfig
from codex_core.duration import Duration
from codex_core.errors import CodexError, ConfigError, InputError
from codex_core.options import option
from codex_core.planning import layers
from codex_core.planning.structuring import options_from, plain_values, structure
from tests.support.fake_registry import FakeRegistry, FakeRow

GOOD = """\
# a comment
run: {name: demo, seed: 3}
data:
  sources:
    - name: pydoc
      topics: true
  seq_len: 64
tokenizer: bytes
model:
  name: ngram
  order: 4
trainer: {name: ngram, duration: 1e6 tokens}
safety: {name: none, reason: a test}
"""


@attrs.frozen(kw_only=True)
class Inner:
    """A record within options."""

    x: int = option(doc="a number", minimum=1)


@attrs.frozen(kw_only=True)
class Everything:
    """Options of all shapes that components use."""

    needed: int = option(doc="required")
    ratio: float = option(0, doc="a number whose default was written as a whole one", minimum=0, maximum=1)
    count: int | None = option(None, doc="may be absent", minimum=2)
    word: str = option("one", doc="a choice", choices=("one", "three"))
    flag: bool = option(False, doc="yes or no")
    triple: tuple[float, float, float] = option((1.0, 2.0, 3.0), doc="three numbers")
    names: tuple[str, ...] = option((), doc="any number of words")
    inner: tuple[Inner, ...] = option((), doc="records")
    table: Mapping[str, int] = option(factory=dict, doc="numbers by name")
    how_long: Duration = option(Duration(3), doc="a duration")
    either: int | Literal["auto"] = option("auto", doc="a number or a word")


@pytest.fixture
def registry():
    return FakeRegistry.of(
        "codex-core=codex_core.data.plugin",
        "codex-core=codex_core.evaluation.plugin",
        "codex-core=codex_core.ngram.plugin",
    )


@pytest.fixture
def run_yaml(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(GOOD)
    return path


def mistakes_of(caught: pytest.ExceptionInfo[CodexError]) -> dict[str, CodexError]:
    """All reported mistakes by the path that ends their place."""
    every = [caught.value, *caught.value.related]
    return {(error.where or "").rpartition(", ")[2]: error for error in every}


def test_values_defaults_and_short_forms(run_yaml):
    """What is written is read, the rest has its defaults, and `tokenizer: bytes` is a name alone."""
    loaded = config.load(run_yaml)
    assert (loaded.run.seed, loaded.data.seq_len, loaded.data.split) == (3, 64, (0.9, 0.05, 0.05))
    assert loaded.tokenizer == config.ComponentChoice("bytes", {})
    assert loaded.model == config.ComponentChoice("ngram", {"order": 4})
    assert loaded.evaluation.every == Duration(500)


def test_every_value_tells_its_origin(run_yaml, registry):
    """File and line, override or default, for each leaf of the resolved configuration."""
    loaded = config.load(run_yaml, ["model.order=3", "+writers=csv"], registry=registry, seed=7)
    origins = loaded.origins
    assert set(origins) >= {"run.seed", "model.order", "trainer.batch_rows", "data.sources[0].docstrings"}
    assert origins["data.sources[0].topics"] == f"{run_yaml}:6"
    assert origins["tokenizer.name"] == f"{run_yaml}:8"
    assert origins["model.order"] == "override model.order=3"
    assert origins["writers[0].name"] == "override +writers=csv"
    assert origins["trainer.batch_rows"] == origins["data.split"] == "default"
    assert origins["run.seed"] == "override run.seed=7"


def test_the_seed_of_the_command_line_wins_and_is_recorded(run_yaml):
    """`--seed 7` beats the file and other overrides, and stands among the overrides."""
    loaded = config.load(run_yaml, ["run.seed=5"], seed=7)
    assert loaded.run.seed == 7
    assert loaded.overrides == ("run.seed=5", "run.seed=7")


def test_every_mistake_is_reported_at_once(tmp_path, registry):
    """Unknown keys at any depth, types, bounds, choices, missing values, names and options: one error, all places."""
    path = tmp_path / "bad.yaml"
    path.write_text(
        "run: {sede: 3, threads: many, name: 7}\n"
        "data:\n"
        "  sources:\n"
        "    - {topics: true}\n"
        "    - name: pydoc\n"
        "      topic: true\n"
        "      docstrings: yes\n"
        "  split: [0.8, 0.1]\n"
        "  seq_len: 1\n"
        "tokenizr: bytes\n"
        "model: {name: ngrm}\n"
        "trainer: {name: ngram, batch_rows: 1.5, duration: 3 weeks}\n"
        "evaluation: {split: valid, every: -1}\n"
        "safety: none\n"
    )
    with pytest.raises(CodexError) as caught:
        config.load(path, ["x", "~nothing"], registry=registry)

    found = mistakes_of(caught)
    expected = {
        "run.sede": ("CFG-004", 1, "did you mean 'seed'?"),
        "run.threads": ("CFG-005", 1, None),
        "run.name": ("CFG-005", 1, None),
        "data.sources[0]": ("CFG-007", 4, None),
        "data.sources[1].topic": ("CFG-004", 6, "did you mean 'topics'?"),
        "data.sources[1].docstrings": ("CFG-005", 7, None),
        "data.split": ("CFG-005", 8, None),
        "data.seq_len": ("CFG-006", 9, None),
        "tokenizr": ("CFG-004", 10, "did you mean 'tokenizer'?"),
        "tokenizer": ("CFG-007", 1, None),
        "trainer.batch_rows": ("CFG-005", 12, None),
        "trainer.duration": ("CFG-006", 12, None),
        "evaluation.split": ("CFG-006", 13, "did you mean 'validation'?"),
        "evaluation.every": ("CFG-006", 13, None),
        "safety.reason": ("CFG-007", 14, None),
    }
    for place, (code, line, why) in expected.items():
        error = found.pop(place)
        assert error.code == code, place
        assert error.where == f"{path}:{line}, {place}"
        assert error.fix, place
        assert why is None or error.why == why
    assert found.pop("model").where == f"{path}:11, model"
    assert [error.code for error in found.values()] == ["CFG-009"], "two overrides, both at the command line"
    assert "cannot read the override 'x'" in str(caught.value)


def test_fixes_say_what_to_write():
    """Where the intended value can be guessed, the fix holds it."""
    written = {"needed": 3.0, "flag": "yes", "word": True, "count": "1_000"}
    _, mistakes = structure(Everything, written)
    assert {mistake.path: mistake.fix for mistake in mistakes} == {
        "needed": "write 3",
        "flag": "write true",
        "word": 'put it in quotes: "true"',
        "count": "write 1000",
    }


def test_options_of_every_shape_are_checked_at_every_depth():
    """Bounds, choices, lists, records within lists, tables and unions each name the exact place."""
    written = {
        "ratio": 2, "count": 1, "word": "ona", "triple": [1, 2], "names": "abc", "inner": [{"x": 0}, {"y": 1}, 3],
        "table": {"a": "q", "b.c": 1.5}, "how_long": True, "either": "manual", "flag": 1,
    }  # fmt: skip
    _, mistakes = structure(Everything, written, "trainer")
    assert {mistake.path for mistake in mistakes} == {
        "trainer.needed", "trainer.ratio", "trainer.count", "trainer.word", "trainer.triple", "trainer.names",
        "trainer.inner[0].x", "trainer.inner[1].x", "trainer.inner[1].y", "trainer.inner[2]", "trainer.table.a",
        'trainer.table["b.c"]', "trainer.how_long", "trainer.either", "trainer.flag",
    }  # fmt: skip


def test_options_survive_the_way_through_plain_values():
    """An options object becomes plain values for a lock and the same object again."""
    written = {"needed": 1, "inner": [{"x": 2}], "table": {"a": 1}, "how_long": "1.5 epochs", "either": 4}
    built = options_from(Everything, written, where="lock.json")
    again = options_from(Everything, plain_values(built), where="lock.json")
    assert again == attrs.evolve(built, ratio=0.0)
    assert plain_values(built)["how_long"] == "1.5 epochs"
    with pytest.raises(ConfigError, match=r"lock\.json, needed"):
        options_from(Everything, {}, where="lock.json")


def test_options_are_checked_against_the_component_when_it_is_at_hand(run_yaml, registry):
    """A wrong option is a mistake with the component installed, and stays as written without it."""
    overrides = ["model.ordr=3"]
    with pytest.raises(ConfigError) as caught:
        config.load(run_yaml, overrides, registry=registry)
    assert mistakes_of(caught)["model.ordr"].why == "did you mean 'order'?"

    without = FakeRegistry(
        tuple(row for row in registry.rows if row.runtime != "ngram"),
        known={(kind, "ngram"): "pip install it" for kind in ("models", "trainers")},
    )
    loaded = config.load(run_yaml, overrides, registry=without)
    assert loaded.model.options == {"order": 4, "ordr": 3}
    assert loaded.found["model"].state == "not-installed"


def test_a_component_without_options_takes_none(run_yaml, registry):
    """An option of a component that has no options class is an unknown key."""
    with pytest.raises(ConfigError) as caught:
        config.load(run_yaml, ["tokenizer.size=3"], registry=registry)

    assert mistakes_of(caught)["tokenizer.size"].why == "nothing can be set here"


def test_a_registry_fills_in_ids_and_defaults(run_yaml, registry):
    """The resolved configuration holds canonical ids and every option with its value."""
    resolved = config.load(run_yaml, registry=registry).as_dict()
    assert resolved["model"] == {"name": "codex-core/ngram", "order": 4}
    assert resolved["trainer"] == {"name": "codex-core/ngram", "duration": "1000000 tokens", "batch_rows": 16}
    assert resolved["evaluation"]["metrics"] == [{"name": "codex-core/bits_per_byte"}]


# ---- the hash


def test_the_resolved_file_loads_to_the_same_hash(run_yaml, registry, tmp_path):
    """What a run keeps as `config.yaml` is the same configuration, and so is what that one resolves to."""
    first = config.load(run_yaml, ["+writers=csv"], registry=registry)
    copy = tmp_path / "config.yaml"
    copy.write_text(first.to_yaml())
    second = config.load(copy, registry=registry)
    assert second == first
    assert second.hash() == first.hash() == config.load(copy).hash()
    assert second.to_yaml() == first.to_yaml()
    assert config.from_mapping(first.as_dict(), source="lock.json", registry=registry) == first


SAME = {
    "comments and key order": lambda text: "# another\n" + "\n".join(sorted_sections(text)),
    "spelling of numbers": lambda text: text.replace("seq_len: 64", "seq_len: 0x40"),
    "spelling of durations": lambda text: text.replace("1e6 tokens", "1_000_000 token"),
    "canonical names": lambda text: text.replace("name: ngram\n", "name: codex-core/ngram\n"),
    "defaults written out": lambda text: text + "checkpoint: {every: 500, keep_last: 2}\n",
    "short and long form": lambda text: text.replace("tokenizer: bytes", "tokenizer: {name: bytes}"),
    "plugins left out": lambda text: text + "plugins: {off: [something]}\n",
    "schema named": lambda text: "schema: codex-run/1\n" + text,
}


def sorted_sections(text):
    """The sections of a file in another order."""
    blocks: list[str] = []
    for line in text.splitlines()[1:]:
        if line.startswith(" "):
            blocks[-1] += f"\n{line}"
        else:
            blocks.append(line)
    return sorted(blocks, reverse=True)


@pytest.mark.parametrize("name", SAME)
def test_the_same_meaning_has_the_same_hash(name, run_yaml, registry, tmp_path):
    """Comments, order, spelling, written-out defaults and the choice of plugins do not change the hash."""
    other = tmp_path / "other.yaml"
    other.write_text(SAME[name](GOOD))
    assert other.read_text() != GOOD
    assert config.load(other, registry=registry).hash() == config.load(run_yaml, registry=registry).hash()


CHANGES = [
    "run.name=other", "run.seed=4", "run.exactness=L0", "run.threads=1", "run.log_every=1",
    "run.digest_every=2", "run.max_rollbacks=1",
    "data.sources[0].topics=false", "+data.sources={name: text, path: x}", "data.split=[0.8, 0.1, 0.1]",
    "data.split_seed=1", "data.split_by=index", "data.seq_len=65",
    "data.dedup=none", "data.packing=fit", "data.weights=[1]", "data.order_seed=0", "data.unsupervised=refuse",
    "data.shard_bytes=1024", "model.order=5", "trainer.duration=1 epoch", "trainer.batch_rows=2",
    "checkpoint.every=1", "checkpoint.keep_last=3", "checkpoint.keep_best=2",
    "checkpoint.best_metric=bits_per_byte", "checkpoint.best_mode=max", "checkpoint.keep_every=7",
    "checkpoint.keep_for=1.5", "checkpoint.asynchronous=false", "evaluation.every=0", "evaluation.split=test",
    "evaluation.metrics=[perplexity]", "evaluation.max_documents=1", "+writers=csv", "safety.reason=another",
    "telemetry.system_metrics=cpu", "telemetry.system_interval_s=1",
]  # fmt: skip


def test_any_change_gives_another_hash(run_yaml, registry):
    """Every key that can be changed here changes the hash, each to a hash of its own."""
    hashes = [
        config.load(run_yaml, [change], registry=registry).hash() for change in ["run.seed=3", *CHANGES]
    ]
    assert len(set(hashes)) == len(CHANGES) + 1


def test_every_key_is_among_the_changes(run_yaml, registry):
    """A key that is added to a section joins the test above."""
    keys = {change.lstrip("+").partition("=")[0].partition("[")[0] for change in CHANGES}
    sections = config.load(run_yaml).as_dict()
    every = {
        f"{name}.{key}"
        for name in ("run", "data", "checkpoint", "evaluation", "telemetry")
        for key in sections[name]
    }
    assert not every - keys


def test_a_default_written_as_another_kind_of_number_is_the_same(tmp_path):
    """`ratio: 0` and a default of 0 for a number are one meaning, also where the author wrote a whole number."""
    row = FakeRow(kind="models", name="m", dist="d", target="x:y", options=f"{__name__}:Everything")
    registry = FakeRegistry((row,))
    names = {(kind, "x"): "install" for kind in ("tokenizers", "trainers", "datasets", "metrics")}
    registry = attrs.evolve(registry, known={**names, ("metrics", "bits_per_byte"): "install"})
    base = {
        "data": {"sources": ["x"]},
        "tokenizer": "x",
        "trainer": "x",
        "safety": {"name": "none", "reason": "r"},
    }
    hashes = {
        config.from_mapping(
            {**base, "model": {"name": "m", "needed": 1, **more}}, source="t", registry=registry
        ).hash()
        for more in ({}, {"ratio": 0}, {"ratio": 0.0})
    }
    assert len(hashes) == 1


# ---- rules

RULES = {
    "data.split=[0.5, 0.2, 0.2]": ("data.split", "sum to 0.9"),
    "data.split=[1.5, -0.25, -0.25]": ("data.split", "sum to 1"),
    "data.split=[0, 0.5, 0.5]": ("data.split", "training split"),
    "data.split=[0.9, 0, 0.1]": ("evaluation.split", "validation, whose share is 0"),
    "data.sources=[]": ("data.sources", "no data source"),
    "run.name=a/b": ("run.name", "cannot name a run"),
    "plugins={only: [a], off: [a]}": ("plugins.off", "'a'"),
    "trainer.duration=0": ("trainer.duration", "trains nothing"),
}


@pytest.mark.parametrize("override", RULES)
def test_values_that_contradict_each_other_are_refused(override, run_yaml, registry):
    """CFG-011 tells which two values do not go together and where they were written."""
    place, words = RULES[override]
    with pytest.raises(ConfigError) as caught:
        config.load(run_yaml, [override], registry=registry)

    error = mistakes_of(caught)[place]
    assert error.code == "CFG-011" and words in error.what
    assert error.where == f"override {override}, {place}" or place == "evaluation.split"


# ---- extends and presets


def test_a_file_builds_on_another_and_on_a_preset(run_yaml, tmp_path):
    """Mappings merge, lists are replaced, a component that changes its name drops the former one's options."""
    above = tmp_path / "sub" / "above.yaml"
    above.parent.mkdir()
    above.write_text(
        "extends: ../run.yaml\nrun: {seed: 9}\nmodel: decoder\ntrainer: {batch_rows: 2}\n"
        "tokenizer: {name: bpe, vocab_size: 300}\n"
    )
    loaded = config.load(above)
    assert (loaded.run.name, loaded.run.seed) == ("demo", 9)
    assert loaded.model.options == {}
    assert loaded.trainer == config.ComponentChoice("ngram", {"duration": "1e6 tokens", "batch_rows": 2})
    assert loaded.tokenizer.options == {"vocab_size": 300}
    assert loaded.origins["run.name"] == f"{tmp_path}/sub/../run.yaml:2"
    assert loaded.origins["run.seed"] == f"{above}:2"


def test_short_form_below_merges_with_options_above(tmp_path):
    """`model: ngram` in the base and options above it belong together."""
    below = tmp_path / "below.yaml"
    below.write_text(GOOD.replace("model:\n  name: ngram\n  order: 4\n", "model: ngram\n"))
    above = tmp_path / "above.yaml"
    above.write_text("extends: below.yaml\nmodel: {order: 2}\n")
    assert config.load(above).model == config.ComponentChoice("ngram", {"order": 2})


EXTENDS = {
    "extends: above.yaml\n": "CFG-010",
    "extends: 3\n": "CFG-010",
    "extends: absent.yaml\n": "CFG-001",
    "extends: ngrm\n": "CFG-010",
}


@pytest.mark.parametrize("text", EXTENDS)
def test_extends_that_leads_nowhere_is_refused_where_it_stands(text, tmp_path):
    """Circles, absent files and unknown presets are told at the line of `extends`."""
    above = tmp_path / "above.yaml"
    above.write_text(text)
    with pytest.raises(CodexError) as caught:
        config.load(above)

    assert caught.value.code == EXTENDS[text]
    assert str(caught.value.where).endswith("above.yaml:1, extends")


def test_an_unknown_preset_gets_near_names():
    """A preset is named with what is installed beside it."""
    with pytest.raises(ConfigError, match="did you mean 'ngram'"):
        config.load(None, preset="ngrm")


def test_file_and_preset_together_are_refused(run_yaml):
    """A run has one configuration; the other one can be extended."""
    with pytest.raises(ConfigError, match="one configuration"):
        config.load(run_yaml, preset="ngram")


def shipped() -> list[Path]:
    root = Path(__file__).resolve().parents[3]
    return sorted([*root.glob("packages/*/src/*/presets/*.yaml"), *root.glob("examples/configs/**/*.yaml")])


@pytest.mark.parametrize("path", shipped(), ids=lambda path: path.name)
def test_every_shipped_configuration_loads(path):
    """Presets and examples are whole configurations: every required value is there and every key is known."""
    assert isinstance(config.load(path), RunConfig)


def test_presets_are_found_without_importing_their_package(run_yaml):
    """The core's own presets are there; a preset loads by its name."""
    assert "ngram" in layers.installed_presets()
    assert config.load(None, preset="ngram").model.name == "ngram"


# ---- whole files


@pytest.mark.parametrize("text", ["[1, 2]", "just text"])
def test_a_file_that_is_no_mapping_is_refused(text, tmp_path):
    """A configuration is a mapping of sections."""
    path = tmp_path / "run.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match="a mapping of sections"):
        config.load(path)


def test_nothing_at_all_names_what_is_required():
    """Without a file, a preset or overrides every required section is missing, and said so."""
    with pytest.raises(ConfigError) as caught:
        config.load(None)

    assert set(mistakes_of(caught)) == {"data", "tokenizer", "model", "trainer"}


def test_another_schema_is_refused(tmp_path):
    """A file of another format version is not guessed at."""
    path = tmp_path / "run.yaml"
    path.write_text(GOOD + "schema: codex-run/2\n")
    with pytest.raises(ConfigError, match="codex-run/1"):
        config.load(path)


def test_an_absent_file_is_exit_4(tmp_path):
    """A file that is not there is an input error with a way forward."""
    with pytest.raises(InputError) as caught:
        config.load(tmp_path / "absent.yaml")

    assert caught.value.exit_code == 4 and caught.value.fix


def test_internal_fields_cannot_be_written():
    """What a configuration keeps about itself is no key."""
    with pytest.raises(ConfigError, match="unknown key 'found'"):
        config.from_mapping({**_minimal(), "found": {}}, source="t")


def _minimal() -> dict[str, object]:
    return {"data": {"sources": ["pydoc"]}, "tokenizer": "bytes", "model": "ngram", "trainer": "ngram"}


def test_a_hundred_mistakes_are_a_hundred_places(run_yaml):
    """A configuration full of unknown keys is answered with each of them."""
    with pytest.raises(ConfigError) as caught:
        config.load(run_yaml, [f"run.k{number}=1" for number in range(100)])

    assert len(caught.value.related) == 99

"""References to the environment: allowed where a path stands, kept as written, resolved when a file is opened."""

from __future__ import annotations

import json

import pytest

from codex_core import config, plan
from codex_core.data.prepare import prepare
from codex_core.errors import ConfigError, InputError
from codex_core.places import find_places
from tests.support.data_plans import RoomRegistry
from tests.support.fake_registry import FakeRegistry

RUN = """\
data:
  sources:
    - name: text
      path: "${env:CORPUS}/a.txt"
      document: paragraph
tokenizer: bytes
model: ngram
trainer: ngram
safety: {name: none, reason: a test}
"""


@pytest.fixture
def registry():
    return FakeRegistry.of(
        "codex-core=codex_core.data.plugin",
        "codex-core=codex_core.evaluation.plugin",
        "codex-core=codex_core.ngram.plugin",
    )


@pytest.fixture
def run_yaml(tmp_path):
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "a.txt").write_text("\n\n".join(f"Paragraph {number}." for number in range(60)))
    path = tmp_path / "run.yaml"
    path.write_text(RUN)
    return path


def test_a_reference_stays_a_reference(run_yaml, registry):
    """Resolved configuration, hash and plan hold the reference, whatever the variable says."""
    loaded = config.load(run_yaml, registry=registry)
    assert loaded.as_dict()["data"]["sources"][0]["path"] == "${env:CORPUS}/a.txt"
    plans = [plan.make(loaded, registry, environ={"CORPUS": value}) for value in ("/one", "/two")]
    assert plans[0] == plans[1] and "/one" not in repr(plans[0]) + plan.describe_plan(plans[0])
    assert plans[0].config_hash == loaded.hash()


def test_prepared_data_is_that_of_the_file_and_names_no_folder(run_yaml, registry, tmp_path):
    """A reference and the path that it stands for give the same data; the folder is nowhere in what is stored."""
    places = find_places(tmp_path)
    environ = {"CORPUS": str(tmp_path / "corpus")}
    asked = plan.make(config.load(run_yaml, registry=registry), registry, environ=environ)
    prepared = prepare(asked, registry=RoomRegistry(), places=places)
    written = config.load(run_yaml, [f"data.sources[0].path={tmp_path}/corpus/a.txt"], registry=registry)
    assert (
        prepare(plan.make(written, registry), registry=RoomRegistry(), places=places).fingerprint
        == prepared.fingerprint
    )
    assert str(tmp_path) not in json.dumps(prepared.manifest)


@pytest.mark.parametrize("environ", [{}, {"CORPUS": ""}], ids=["unset", "empty"])
def test_a_variable_that_is_not_set_is_an_input_error(environ, run_yaml, registry, tmp_path):
    """The plan is made without it; opening the file names the variable and where it is asked for, exit 4."""
    asked = plan.make(config.load(run_yaml, registry=registry), registry, environ=environ)
    with pytest.raises(InputError) as caught:
        prepare(asked, registry=RoomRegistry(), places=find_places(tmp_path))
    assert (caught.value.code, caught.value.where) == ("CFG-016", "data.sources[0].path")
    assert "export CORPUS=" in (caught.value.fix or "")


ELSEWHERE = {
    "run.name='${env:USER}'": "run.name",
    "safety.reason='${env:WHY}'": "safety.reason",
    "data.sources[0].glob='${env:GLOB}'": "data.sources[0].glob",
    "plugins.off=['${env:OFF}']": "plugins.off",
    "+writers={name: csv, path: '${env:OUT}/m.csv'}": "writers[0].path",
    "data.sources[0].path='${HOME}/a.txt'": "data.sources[0].path",
    "data.sources[0].path='${env:}/a.txt'": "data.sources[0].path",
    "data.sources[0].path='${env:A'": "data.sources[0].path",
}


@pytest.mark.parametrize("override", ELSEWHERE)
def test_elsewhere_a_reference_is_refused_with_its_place(override, run_yaml, registry):
    """Where no path stands, and where the reference cannot be read, it is CFG-015 and not text."""
    with pytest.raises(ConfigError) as caught:
        config.load(run_yaml, [override], registry=registry)
    found = {error.where: error.code for error in [caught.value, *caught.value.related]}
    assert found[f"override {override}, {ELSEWHERE[override]}"] == "CFG-015"


def test_a_number_cannot_come_from_the_environment(run_yaml, registry):
    """A reference where a number is asked for is a wrong type, with its place."""
    with pytest.raises(ConfigError) as caught:
        config.load(run_yaml, ["data.seq_len=${env:N}"], registry=registry)
    assert caught.value.code == "CFG-005" and "data.seq_len" in (caught.value.where or "")


def test_a_file_says_the_line_of_a_misplaced_reference(run_yaml, registry):
    """In a file the place is its line."""
    run_yaml.write_text(RUN + "run:\n  name: ${env:USER}\n")
    with pytest.raises(ConfigError) as caught:
        config.load(run_yaml, registry=registry)
    places = [error.where for error in [caught.value, *caught.value.related]]
    assert f"{run_yaml}:11, run.name" in places


def test_other_dollar_signs_are_text(run_yaml, registry):
    """Only `${env:` is refused in text that is no path."""
    loaded = config.load(run_yaml, ["safety.reason='costs ${5}'"], registry=registry)
    assert loaded.safety is not None and loaded.safety.options["reason"] == "costs ${5}"

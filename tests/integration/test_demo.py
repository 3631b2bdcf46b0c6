"""The demo and what can be done with its result: honest numbers beside honest baselines, scored and sampled again."""

from __future__ import annotations

import json
import lzma
import time

import pytest

from codex_core.data.prepare import open_prepared
from tests.support.commands import Project

BARS = {"quick": 300.0}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project in which the tiny demo has run."""
    for name in ("codex_models", "codex_safety", "codex_tokenizers"):
        pytest.importorskip(name)
    project = Project.make(tmp_path_factory.mktemp("demo"))
    said = project.codex("demo", "--preset", "tiny", "--run-dir", "run", "--json")
    assert said.code == 0, said.err
    (project.path / "said.json").write_text(said.out)
    return project


@pytest.fixture(scope="module")
def result(project):
    """What the tiny demo printed."""

    return json.loads((project.path / "said.json").read_text())


def prepared_of(project, result):
    """The prepared set that the demo used."""
    return open_prepared(project.path / ".codex/store/tokens" / result["data"].partition(":")[2][:32])


@pytest.mark.slow
def test_table_has_the_model_and_every_baseline(result):
    """Four rows over the same bytes: the decoder, the n-gram over the same tokens, xz alone and xz primed."""
    names = [score["name"] for score in result["scores"]]

    assert names == [
        "codex-models/decoder",
        "codex-core/ngram, order 5",
        "xz -9e, primed with train",
        "xz -9e, test alone",
    ]
    assert all(0 < score["bits_per_byte"] < 8 for score in result["scores"])


@pytest.mark.slow
def test_compression_baselines_equal_a_direct_computation(project, result):
    """The two xz rows are what the standard library's compressor gives for the stored bytes."""
    prepared = prepared_of(project, result)
    test = b"\n".join(text.text.encode() for text in prepared.texts("test"))
    both = b"\n".join([b"\n".join(text.text.encode() for text in prepared.texts("train")), test])
    num_bytes = sum(text.num_bytes for text in prepared.texts("test"))

    def size(data):
        return 8 * len(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME))

    scores = {score["name"]: score["bits_per_byte"] for score in result["scores"]}
    assert scores["xz -9e, test alone"] == pytest.approx(size(test) / num_bytes, abs=1e-12)
    primed = (size(both) - size(both[: -len(test) - 1])) / num_bytes
    assert scores["xz -9e, primed with train"] == pytest.approx(primed, abs=1e-12)


@pytest.mark.slow
def test_evaluation_of_the_saved_checkpoint_gives_the_number_of_the_table(project, result):
    """`codex evaluate` on the test split repeats the demo's number, with corpus digest and Python version."""
    said = project.codex("evaluate", "--checkpoint", "run", "--split", "test", "--json")
    plain = project.codex("evaluate", "--checkpoint", "run", "--split", "test")

    values = {metric["name"]: metric["value"] for metric in said.json["metrics"]}
    assert values["bits_per_byte"] == pytest.approx(result["scores"][0]["bits_per_byte"], abs=1e-9)
    assert result["corpus"]["digest"] in plain.err and result["corpus"]["python"] in plain.err


@pytest.mark.slow
def test_evaluation_changes_with_the_checkpoint(project):
    """An earlier checkpoint scores worse than the last one: the numbers come from the weights."""
    first, *_, last = sorted((project.path / "run" / "checkpoints").glob("step-*[0-9]"))

    bits = [
        project.codex("evaluate", "--checkpoint", path, "--max-documents", "5", "--json").json["metrics"][0][
            "value"
        ]
        for path in (first, last)
    ]

    assert bits[0] > bits[1]


@pytest.mark.slow
def test_samples_repeat_with_their_seed_and_differ_with_another(project, result):
    """The demo prints three completions; the same command twice gives the same text, another seed another."""
    command = ("generate", "--model", "run", "--max-new-tokens", "20", "The")
    one, again, other = (project.codex(*command, "--seed", seed).out for seed in ("1", "1", "2"))

    assert len(result["completions"]) == 3
    assert one == again != other
    assert one.startswith("The")


@pytest.mark.slow
def test_run_directory_tells_everything(project):
    """The run holds what the design names, with relative paths only, and is listed as finished."""
    run = project.path / "run"
    held = {path.name for path in run.iterdir()}

    assert {"run.json", "config.yaml", "lock.json", "environment.json", "data.json", "journal"} <= held
    assert {"metrics.ndjson", "metrics.csv", "checkpoints", "demo.json"} <= held
    for path in run.rglob("*"):
        if path.suffix in (".json", ".ndjson", ".csv", ".yaml"):
            assert str(project.path) not in path.read_text(), f"{path.name} names the folder it was made in"
    assert project.codex("runs", "show", "run", "--json").json["status"] == "finished"


@pytest.mark.slow
def test_written_configuration_trains_to_the_same_hash(project):
    """`config.yaml` of a run is a configuration like any other and means the same."""
    before = project.codex("plan", "run/config.yaml", "--json").json["config_hash"]

    assert before == project.codex("runs", "show", "run", "--json").json["config_hash"]


@pytest.mark.proof
def test_quick_demo_beats_xz_in_five_minutes(tmp_path):
    """The preset of the first command: at most five minutes on two cores, and better than xz on the same bytes."""
    for name in ("codex_models", "codex_safety", "codex_tokenizers"):
        pytest.importorskip(name)
    project = Project(tmp_path, {"OMP_NUM_THREADS": "2"})
    (tmp_path / ".codex").mkdir()
    started = time.monotonic()
    process = project.start("demo", "--preset", "quick", "--json")
    out, err = process.communicate(timeout=1500)
    seconds = time.monotonic() - started

    assert process.returncode == 0, err
    print(err.splitlines()[-1], out, f"{seconds:.0f} s", sep="\n")

    bits = {score["name"]: score["bits_per_byte"] for score in json.loads(out)["scores"]}
    assert bits["codex-models/decoder"] < bits["xz -9e, test alone"]
    assert seconds < 2 * BARS["quick"], (
        "twice the bar means that something is wrong, not that the machine is busy"
    )

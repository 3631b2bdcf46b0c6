"""What `registry compose` writes validates and trains, whatever is installed; and it says why."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from codex_core import config
from codex_core.cli.compose import compose, pairs
from codex_core.errors import MissingDependency
from codex_core.places import Places
from codex_core.plan import make
from codex_core.plugins import known
from codex_core.plugins.selection import BUILT_IN, Selection
from codex_core.registry import Registry
from tests.support.distributions import World, good
from tests.support.skips import is_installed

SIBLINGS = [dist for dist in BUILT_IN if dist != "codex-core"]


def installed(*wanted: str) -> list[str]:
    """The siblings to switch off so that only `wanted` of them are left, as far as they are installed."""
    return [dist for dist in SIBLINGS if dist not in wanted and is_installed(dist.replace("-", "_"))]


def composed(tmp_path: Path, *siblings: str, goal: str = "pretrain") -> tuple[str, Registry]:
    """A composed configuration, with these siblings besides the core."""
    places = Places(root=tmp_path, home=tmp_path / "home", store=tmp_path / "store")
    registry = Registry.open(places=places, selection=Selection(off=installed(*siblings)))
    return compose(registry, goal=goal), registry


def valid(text: str, registry: Registry, tmp_path: Path) -> config.RunConfig:
    """The configuration, loaded and planned."""
    path = tmp_path / "run.yaml"
    path.write_text(text, encoding="utf-8")
    loaded = config.load(path, registry=registry)
    assert make(loaded, registry).missing == ()
    return loaded


def test_core_alone_composes_an_ngram(tmp_path: Path) -> None:
    """With the core alone: bytes and the n-gram, safety off with a reason, and what an installation would change."""
    text, registry = composed(tmp_path)

    loaded = valid(text, registry, tmp_path)

    names = (
        loaded.model.name,
        loaded.trainer.name,
        loaded.tokenizer.name,
        loaded.safety and loaded.safety.name,
    )
    assert names == ("codex-core/ngram", "codex-core/ngram", "codex-core/bytes", "none")
    for name in ("decoder", "bpe", "secrets", "tensorboard"):
        assert f"# This would be {name} if it were usable: " in text


@pytest.mark.skipif(not is_installed("codex_models"), reason="could not import 'codex_models'")
def test_core_and_models_compose_a_decoder(tmp_path: Path) -> None:
    """With codex-models: the decoder with the trainer of its runtime; the other pair is named."""
    text, registry = composed(tmp_path, "codex-models")

    loaded = valid(text, registry, tmp_path)

    assert (loaded.model.name, loaded.trainer.name) == ("codex-models/decoder", "codex-models/torch")
    assert "other pairs that fit: ngram with ngram" in text
    with_transformers = {("hf-causal", "torch")}  # usable only where that library is installed
    assert {(model.name, trainer.name) for model, trainer in pairs(registry)} - with_transformers == {
        ("decoder", "torch"),
        ("ngram", "ngram"),
    }


@pytest.mark.skipif(not is_installed("codex_safety"), reason="could not import 'codex_safety'")
@pytest.mark.skipif(not is_installed("codex_tokenizers"), reason="could not import 'codex_tokenizers'")
def test_everything_composes_the_preferred_parts(tmp_path: Path) -> None:
    """With all packages: BPE, the secrets policy, and no word of anything missing."""
    text, registry = composed(tmp_path, *SIBLINGS)

    loaded = valid(text, registry, tmp_path)

    assert loaded.tokenizer.name == "codex-tokenizers/bpe"
    assert loaded.safety is not None and loaded.safety.name == "codex-safety/secrets"
    assert "if it were usable" not in text


@pytest.mark.parametrize("siblings", [(), tuple(SIBLINGS)], ids=["core", "everything"])
def test_evaluation_lists_every_metric_and_names_the_command(
    tmp_path: Path, siblings: tuple[str, ...]
) -> None:
    """The goal `evaluate` computes every built-in metric, and says how to score a checkpoint of before."""
    text, registry = composed(tmp_path, *siblings, goal="evaluate")

    loaded = valid(text, registry, tmp_path)

    names = [metric.name for metric in loaded.evaluation.metrics]
    built_in = {row.id for row in registry.of_kind("metrics") if row.built_in and row.state == "ok"}
    assert names[0] == "codex-core/bits_per_byte" and set(names) == built_in
    metrics = " ".join(f"--metric {name.partition('/')[2]}" for name in names)
    assert f"#   codex evaluate --checkpoint REF --split test {metrics}\n" in text


def train(
    tmp_path: Path, siblings: tuple[str, ...], *overrides: str, goal: str = "pretrain"
) -> subprocess.CompletedProcess[str]:
    """Compose and train, as two commands."""
    environ = {
        **os.environ,
        "CODEX_HOME": str(tmp_path / "home"),
        "CODEX_PLUGINS_OFF": ",".join(installed(*siblings)),
    }

    def codex(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "codex_core", *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)

    assert codex("registry", "compose", "--goal", goal, "-o", "run.yaml").returncode == 0
    again = codex("registry", "compose", "-o", "run.yaml")
    assert again.returncode == 4 and "--force" in again.stderr
    return codex("train", "run.yaml", "data.sources[0].docstrings=false", *overrides)


def test_composed_configuration_trains_with_the_core_alone(tmp_path: Path) -> None:
    """The core alone trains what it composed."""
    done = train(tmp_path, ())

    assert done.returncode == 0, done.stderr
    assert "bits_per_byte" in done.stderr


@pytest.mark.slow
def test_configuration_composed_to_evaluate_trains(tmp_path: Path) -> None:
    """What the goal `evaluate` writes is a run too, and every metric comes out of it."""
    done = train(tmp_path, (), goal="evaluate")

    assert done.returncode == 0, done.stderr
    for metric in ("bits_per_byte", "perplexity", "token_stats", "word_perplexity"):
        assert metric in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(not is_installed("codex_models"), reason="could not import 'codex_models'")
@pytest.mark.parametrize("siblings", [("codex-models",), tuple(SIBLINGS)], ids=["models", "everything"])
def test_composed_configuration_trains(tmp_path: Path, siblings: tuple[str, ...]) -> None:
    """Core and models, and all packages, train what they composed (a few steps of a small model)."""
    sizes = ["model.layers=1", "model.width=32", "model.heads=2", "trainer.batch_rows=2"]
    steps = ["trainer.duration=2", "trainer.warmup=1", "evaluation.max_documents=2"]

    done = train(tmp_path, siblings, *sizes, *steps)

    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.skipif(not is_installed("codex_models"), reason="could not import 'codex_models'")
def test_configurations_composed_to_finetune_and_to_adapt_train_on_completions(tmp_path: Path) -> None:
    """What `finetune` writes reads prompts and completions and learns the latter; `lora` adapts what came of it."""
    rows = [f'{{"prompt": "{n} and one?", "completion": "It is {n + 1}."}}' for n in range(40)]
    (tmp_path / "rows.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    environ = {
        **os.environ,
        "CODEX_HOME": str(tmp_path / "home"),
        "CODEX_PLUGINS_OFF": ",".join(installed("codex-models")),
    }
    codex = [sys.executable, "-m", "codex_core"]
    here: dict[str, Any] = {"cwd": tmp_path, "env": environ, "capture_output": True, "text": True}
    composed = subprocess.run([*codex, "registry", "compose", "--goal", "finetune"], check=True, **here)
    assert "form: prompt_completion" in composed.stdout and "  weights: ..." in composed.stdout
    (tmp_path / "run.yaml").write_text(composed.stdout, encoding="utf-8")

    changes = ["data.sources[0].path=rows.jsonl", "data.split=[0.8, 0.2, 0.0]", "data.seq_len=64"]
    changes += ["model.layers=1", "model.width=32", "model.heads=2", "trainer.precision=fp32"]
    unfilled = subprocess.run([*codex, "train", "run.yaml", *changes], check=False, **here)
    assert unfilled.returncode == 4, unfilled.stderr  # nothing begins from chance that was not asked to
    assert "model.weights names something that is not there" in unfilled.stderr
    done = subprocess.run([*codex, "train", "run.yaml", *changes, "model.weights=null"], check=False, **here)

    assert done.returncode == 0, done.stderr
    assert "exactness L1: float32 on cpu" in done.stderr
    assert "finetune on 2" in done.stderr  # about a quarter of the targets belong to completions

    composed = subprocess.run([*codex, "registry", "compose", "--goal", "lora"], check=True, **here)
    assert "lora: {r: 8, alpha: 16}" in composed.stdout and "  weights: ..." in composed.stdout
    (tmp_path / "lora.yaml").write_text(composed.stdout, encoding="utf-8")
    weights = max(tmp_path.glob("runs/*/checkpoints/step-*")).relative_to(tmp_path)
    done = subprocess.run(
        [*codex, "train", "lora.yaml", *changes, f"model.weights={weights}"], check=False, **here
    )

    assert done.returncode == 0, done.stderr
    assert "lora on 2" in done.stderr


OFFERS = """
@hookimpl
def codex_models():
    return [Component("m", target="json:M", summary="", runtime="r")]
@hookimpl
def codex_datasets():
    return [Component("d", target="json:D", summary="")]
@hookimpl
def codex_metrics():
    return [Component("e", target="json:E", summary="")]
@hookimpl
def codex_trainers():
    return [
        Component("full", target="json:X", summary="", runtime="r"),
        Component("adapters", target="json:Y", summary="", runtime="r", capabilities=("lora",), {requires}),
    ]
"""


@pytest.mark.parametrize("goal", ["finetune", "lora"])
def test_goal_that_nothing_can_do_is_refused(goal: str, world: World) -> None:
    """Without a trainer that declares it can, the refusal is exit 3 and names a distribution only if it knows one."""
    world.site.add("dist-a", good("t", extra=OFFERS.format(requires="").replace('("lora",)', "()")))

    with pytest.raises(MissingDependency, match=goal) as refusal:
        compose(Registry(world.look(), Selection()), goal=goal)

    assert refusal.value.exit_code == 3
    assert f"declares the capability {goal!r}" in str(refusal.value)
    assert "dist-a/adapters, dist-a/full" in str(refusal.value)
    capable = [one for one in known.components() if one.kind == "trainers" and goal in one.capabilities]
    if capable:
        assert refusal.value.fix == capable[0].install_line
    else:
        assert "knows of no distribution" in str(refusal.value)


def test_goal_is_met_by_the_trainer_that_declares_it(world: World) -> None:
    """A trainer that declares `lora` is chosen for it, before others of the runtime; its reason stands there."""
    world.site.add("dist-a", good("t", extra=OFFERS.format(requires="")))

    text = compose(Registry(world.look(), Selection()), goal="lora")

    assert "  # adapters: trains runtime r, and declares lora.\n  name: dist-a/adapters\n" in text


def test_goal_whose_trainer_lacks_a_library_has_its_install_line(world: World) -> None:
    """A trainer that could if a library were there is named, with the command that brings it."""
    world.site.add("dist-a", good("t", extra=OFFERS.format(requires='requires=("no_such_library",)')))

    with pytest.raises(MissingDependency) as refusal:
        compose(Registry(world.look(), Selection()), goal="lora")

    assert "dist-a/adapters does, and is missing-extra" in str(refusal.value)
    assert refusal.value.fix == "pip install no_such_library"


def test_required_option_is_left_to_be_filled_in(world: World) -> None:
    """An option without a default stands in the configuration, not among the comments, and says so."""
    options = """
    import attrs
    @attrs.frozen
    class Options:
        path: str = attrs.field(metadata={"doc": "folder to read"})
        limit: int = 3
    """
    world.site.write_module("dist_options", options)
    offers = OFFERS.format(requires="").replace('"json:D"', '"json:D", options="dist_options:Options"')
    world.site.add("dist-a", good("t", extra=offers))

    lines = compose(Registry(world.look(), Selection()), goal="pretrain").splitlines()

    assert "      path: ...  # folder to read (required: yours to fill in)" in lines
    assert "      # limit: 3" in lines


def test_third_party_components_come_after_built_in_ones(world: World) -> None:
    """Without anything built in, usable third-party parts are chosen by name; without a pair nothing is written."""
    offers = """
    @hookimpl
    def codex_models():
        return [Component("m", target="json:M", summary="", runtime="r")]
    @hookimpl
    def codex_datasets():
        return [Component("d", target="json:D", summary="")]
    @hookimpl
    def codex_metrics():
        return [Component("e", target="json:E", summary="")]
    """
    world.site.add("dist-a", good("t", extra=offers))
    registry = Registry(world.look(), Selection())
    with pytest.raises(MissingDependency, match="model with a trainer"):
        compose(registry, goal="pretrain")

    trains = '\n@hookimpl\ndef codex_trainers(): return [Component("x", target="json:X", summary="", runtime="r")]\n'
    world.site.add("dist-b", good("u", extra=trains))
    text = compose(Registry(world.look(), Selection()), goal="pretrain")

    lines: list[Any] = [line.strip() for line in text.splitlines()]
    for id in ("dist-a/m", "dist-b/x", "dist-a/t"):
        assert f"name: {id}" in lines
    assert "- name: dist-a/d" in lines and "- name: dist-a/e" in lines

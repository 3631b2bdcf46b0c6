"""Every registered component keeps its contract: what plugins offer is collected, and each runs its kind's suite.

A component without an entry in `CASES` fails, so nothing can be registered that is not checked.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import attrs
import pytest

from codex_core.components import KIND_HOOKS, Component
from codex_core.contracts import Loaded
from codex_core.testing import (
    check_dataset,
    check_metric,
    check_model,
    check_policy,
    check_tokenizer,
    check_trainer,
    check_writer,
)
from codex_core.testing.shell import SmallRows, small_lock
from tests.support.ngrams import VOCAB, documents

#: A made-up key of the documented form, put together here so that no scanner takes this file for a leak.
ACCESS_KEY = "AKIA" + "IOSFODNN7EXAMPLE"


@attrs.frozen(kw_only=True)
class Case:
    """How one component is checked: its options, and what its suite wants besides."""

    options: Callable[[Path], dict[str, Any]] = lambda folder: {}
    more: dict[str, Any] = attrs.field(factory=dict)


def text_file(folder: Path) -> dict[str, Any]:
    """Options of a dataset that reads one text file."""
    (folder / "a.txt").write_text("first\n\nsecond, é\n", encoding="utf-8")
    return {"path": str(folder / "a.txt"), "document": "paragraph"}


def json_lines(folder: Path) -> dict[str, Any]:
    """Options of a dataset that reads one JSON Lines file."""
    rows = [{"text": "first"}, {"text": "second, é"}]
    (folder / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return {"path": str(folder / "a.jsonl")}


CASES: dict[tuple[str, str], Case] = {
    ("tokenizers", "bytes"): Case(),
    ("tokenizers", "bpe"): Case(options=lambda folder: {"vocab_size": 300}),
    ("datasets", "pydoc"): Case(options=lambda folder: {"docstrings": False}, more={"most": 60}),
    ("datasets", "text"): Case(options=text_file),
    ("datasets", "jsonl"): Case(options=json_lines),
    ("metrics", "bits_per_byte"): Case(),
    ("metrics", "perplexity"): Case(),
    ("metrics", "token_stats"): Case(),
    ("metrics", "word_perplexity"): Case(),
    ("writers", "csv"): Case(),
    ("writers", "ndjson"): Case(),
    ("writers", "tensorboard"): Case(),
    ("safety_policies", "secrets"): Case(more={"forbidden": [ACCESS_KEY]}),
    ("models", "ngram"): Case(options=lambda folder: {"order": 3}),
    # fp32 sums in another order: observed 1e-6 nats on this size
    ("models", "decoder"): Case(
        options=lambda folder: {"layers": 1, "width": 16, "heads": 2}, more={"tolerance": 1e-4}
    ),
    ("trainers", "ngram"): Case(options=lambda folder: {"batch_rows": 2}),
    ("trainers", "torch"): Case(options=lambda folder: {"batch_rows": 2}),
}


def offered() -> list[tuple[str, Component]]:
    """Everything that installed plugins offer, with its kind."""
    found = []
    for entry in entry_points(group="codex.plugins"):
        plugin = entry.load()
        for kind, hook in KIND_HOOKS.items():
            found += [(kind, component) for component in getattr(plugin, hook, tuple)()]
    return sorted(found, key=lambda pair: (pair[0], pair[1].name))


OFFERED = offered()


def of_kind(kind: str) -> Any:
    """Run a test once for each component of a kind."""
    components = [component for found, component in OFFERED if found == kind]
    return pytest.mark.parametrize("component", components, ids=[component.name for component in components])


def resolve(target: str) -> Any:
    """What a target string names."""
    module, _, name = target.partition(":")
    found = import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


def prepared(kind: str, component: Component, folder: Path) -> tuple[Any, Any, dict[str, Any]]:
    """A component's target, its options built for the test, and what its suite wants besides."""
    for module in component.requires:
        pytest.importorskip(module)
    case = CASES[kind, component.name]
    given = case.options(folder)
    options = resolve(component.options)(**given) if component.options else None
    return resolve(component.target), options, case.more


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """A folder with nothing in it."""
    path = tmp_path / "empty"
    path.mkdir()
    return path


def test_every_component_is_checked():
    """Each registered component that is no command has a case here, and none of them is registered twice."""
    names = [(kind, component.name) for kind, component in OFFERED if kind != "commands"]
    assert set(names) <= set(CASES), "a component is registered without a case in this file"
    assert len(set(names)) == len(names)


@of_kind("tokenizers")
def test_tokenizers(component, tmp_path, empty):
    """Tokenizers are repeatable, reversible, and the same after a round trip through their files."""
    target, options, more = prepared("tokenizers", component, tmp_path)
    check_tokenizer(target, options, folder=empty, **more)


@of_kind("datasets")
def test_datasets(component, tmp_path):
    """Datasets give the same valid rows twice, and an identity without paths."""
    target, options, more = prepared("datasets", component, tmp_path)
    check_dataset(target, options, **more)


@of_kind("metrics")
def test_metrics(component, tmp_path):
    """Metrics do not depend on the order of texts and refuse to measure nothing."""
    target, options, more = prepared("metrics", component, tmp_path)
    check_metric(target, options, **more)


@of_kind("writers")
def test_writers(component, tmp_path):
    """Writers acknowledge what they are given, in a first attempt and in a second."""
    target, options, more = prepared("writers", component, tmp_path)
    check_writer(target, options, folder=tmp_path, **more)


@of_kind("safety_policies")
def test_policies(component, tmp_path):
    """Policies decide alike on whole texts and on any chunks of them."""
    target, options, more = prepared("safety_policies", component, tmp_path)
    check_policy(target, options, **more)


@of_kind("models")
def test_models_and_trainers(component, tmp_path, empty):
    """Every model is trained by the trainer of its runtime, resumed after each step, opened, scored, continued."""
    model_class, model_options, more = prepared("models", component, tmp_path)
    trainers = [found for kind, found in OFFERED if kind == "trainers" and found.runtime == component.runtime]
    assert trainers, f"no trainer has the runtime {component.runtime!r}"
    data = SmallRows(documents=documents(12, seed=1), seq_len=20)
    lock = small_lock(data, vocab_size=VOCAB, steps=4, batch_rows=2, save_every=2, evaluate_every=2)
    model = Loaded(id=f"contract/{component.name}", target=model_class, options=model_options)
    for trainer in trainers:
        trainer_class, trainer_options, _ = prepared("trainers", trainer, tmp_path)
        last = check_trainer(
            trainer_class, trainer_options, model=model, data=data, lock=lock, folder=tmp_path / trainer.name
        )
        check_model(model_class, model_options, trained=last / "model", empty=empty, **more)


@of_kind("trainers")
def test_trainers_have_a_model(component):
    """Every trainer has a model of its runtime, so the test above reached it."""
    runtimes = {found.runtime for kind, found in OFFERED if kind == "models"}
    assert component.runtime in runtimes


@of_kind("commands")
def test_commands(component):
    """A command's target is a click command."""
    click = pytest.importorskip("click")
    assert isinstance(resolve(component.target), click.Command)

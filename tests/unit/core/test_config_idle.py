"""Values that were set and have no effect: told with their place, kept, and never told of defaults."""

from __future__ import annotations

import pytest

from codex_core import config
from tests.support.our_plugins import our_registry

REGISTRY = our_registry()


@pytest.fixture
def run_yaml(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(
        "schema: codex-run/1\n"
        "data: {sources: [pydoc]}\n"
        "tokenizer: bytes\n"
        "model: ngram\n"
        "trainer: ngram\n"
        "telemetry:\n"
        "  system_interval_s: 9\n"
        "safety: {name: none, reason: a test}\n"
    )
    return path


def test_a_value_without_effect_is_told_with_its_place(run_yaml):
    """What counts only beside another value is told; with that value it is not."""
    assert config.load(run_yaml, registry=REGISTRY).notices == (
        f"telemetry.system_interval_s ({run_yaml}:7) has no effect: it counts only with system_metrics: cpu or gpu",
    )
    assert config.load(run_yaml, ["telemetry.system_metrics=cpu"], registry=REGISTRY).notices == ()


def test_defaults_that_are_written_out_are_not_told(run_yaml, tmp_path):
    """The resolved file of a configuration holds every default and gives no notice."""
    (tmp_path / "resolved.yaml").write_text(
        config.load(run_yaml, ["~telemetry.system_interval_s"], registry=REGISTRY).to_yaml()
    )
    assert config.load(tmp_path / "resolved.yaml", registry=REGISTRY).notices == ()


CASES = {
    "codex_models": (
        ["model=decoder", "trainer={name: torch, muon_lr: 0.5}"],
        "trainer.muon_lr",
        "optimizer: muon",
    ),
    "codex_tokenizers": (
        ["tokenizer={name: bpe, path: saved, vocab_size: 300}"],
        "tokenizer.vocab_size",
        "path: null",
    ),
}


@pytest.mark.parametrize("package", CASES)
def test_options_of_components_tell_it_too(package, run_yaml):
    """A learning rate of the other optimizer, and the size of a vocabulary that is not learned."""
    pytest.importorskip(package)
    overrides, path, partner = CASES[package]
    (notice,) = config.load(run_yaml, ["~telemetry", *overrides], registry=REGISTRY).notices
    assert notice.startswith(f"{path} (override ") and notice.endswith(f"counts only with {partner}")

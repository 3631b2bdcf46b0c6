"""What our five packages offer, as far as they are installed: for tests that go over every component of ours."""

from __future__ import annotations

import importlib.util
import tomllib
from pathlib import Path

from tests.support.fake_registry import FakeRegistry

ROOT = Path(__file__).resolve().parents[2]

#: Components of the siblings, known to every core.
KNOWN = {
    ("models", "decoder"): "pip install codex-models",
    ("trainers", "torch"): "pip install codex-models",
    ("models", "hf-causal"): "pip install 'codex-models[hf]'",
    ("tokenizers", "bpe"): "pip install codex-tokenizers",
    ("tokenizers", "hf"): "pip install codex-tokenizers",
    ("tokenizers", "sentencepiece"): "pip install 'codex-tokenizers[sentencepiece]'",
    ("tokenizers", "whitespace"): "pip install codex-tokenizers",
    ("safety_policies", "secrets"): "pip install codex-safety",
    ("writers", "tensorboard"): "pip install 'codex-telemetry[tensorboard]'",
}


def our_registry() -> FakeRegistry:
    """A registry of the components of our packages that can be imported here."""
    return FakeRegistry.of(*plugin_modules(), known=KNOWN)


def plugin_modules() -> list[str]:
    """`dist=module` of every plugin module of ours that is installed."""
    found = []
    for path in sorted(ROOT.glob("packages/*/pyproject.toml")):
        project = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
        modules = project["entry-points"]["codex.plugins"].values()
        found += [f"{project['name']}={module}" for module in modules if _is_here(module)]
    return found


def _is_here(module: str) -> bool:
    return importlib.util.find_spec(module.partition(".")[0]) is not None

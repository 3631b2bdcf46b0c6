"""What the conformance suites try the components of this distribution with: the smallest sizes that do the work."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any


def examples(folder: Path) -> dict[str, dict[str, Any]]:
    """Examples by `kind/name`; the empty `folder` gets a Hugging Face directory."""
    directory = folder / "directory"
    if not directory.exists():
        directory.mkdir()
        # Only here: examples of a distribution are imported where its components may not be usable.
        tiny = import_module("codex_models.tiny")
        tiny.fill(directory, seed=1, layout="llama")
    return {
        # fp32 sums in another order: observed 1e-6 nats on this size
        "models/decoder": {"options": {"layers": 1, "width": 16, "heads": 2}, "tolerance": 1e-4},
        "models/hf-causal": {"options": {"weights": str(directory)}, "tolerance": 1e-4},
        "trainers/torch": {"options": {"batch_rows": 2}},
    }

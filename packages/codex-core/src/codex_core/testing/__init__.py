"""Conformance suites, one module per kind: what every component must do, ours and third parties' alike.

Each `check_*` takes a component's target and options, uses them for real, and raises `AssertionError` with one
sentence on the first promise that is broken. They need no test framework.
"""

from codex_core.testing.datasets import check_dataset
from codex_core.testing.metrics import check_metric
from codex_core.testing.models import check_model
from codex_core.testing.policies import check_policy
from codex_core.testing.tokenizers import check_tokenizer
from codex_core.testing.trainers import check_trainer
from codex_core.testing.writers import check_writer

__all__ = [
    "check_dataset",
    "check_metric",
    "check_model",
    "check_policy",
    "check_tokenizer",
    "check_trainer",
    "check_writer",
]

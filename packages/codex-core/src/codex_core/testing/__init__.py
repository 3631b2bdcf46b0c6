"""Conformance suites, one module per kind: what every component must do, ours and third parties' alike.

Each `check_*` takes a component's target and options, uses them for real, and raises `AssertionError` with one
sentence on the first promise that is broken. They need no test framework; `conformance` runs them over everything
that a distribution offers, and `pytest -p codex_core.testing --codex-dist DIST` makes one test of each.
"""

from codex_core.testing.commands import check_command
from codex_core.testing.datasets import check_dataset
from codex_core.testing.faulty_files import FaultyFiles
from codex_core.testing.metrics import check_metric
from codex_core.testing.models import check_model
from codex_core.testing.modules import check_plugin_module
from codex_core.testing.policies import check_policy
from codex_core.testing.tokenizers import check_tokenizer
from codex_core.testing.trainers import check_trainer
from codex_core.testing.writers import check_writer

#: Read by pytest alone, when this package is named with `-p`: importing it here would need pytest.
pytest_plugins = ("codex_core.testing.pytest_plugin",)

__all__ = [
    "FaultyFiles",
    "check_command",
    "check_dataset",
    "check_metric",
    "check_model",
    "check_plugin_module",
    "check_policy",
    "check_tokenizer",
    "check_trainer",
    "check_writer",
]

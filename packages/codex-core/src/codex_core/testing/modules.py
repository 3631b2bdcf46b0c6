"""What every plugin module must be: light, quiet and quick to import.

Decisions: measured in a process of its own, behind what every plugin module imports; processor time counts, the
best of a few tries, so that a busy machine blames nobody; the best is sought only while the budget is exceeded.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from codex_core.testing.claims import claim

#: Milliseconds of processor time that importing a plugin module may take.
IMPORT_BUDGET_MS = 50.0

_TRIES = 5
_LIMIT_S = 60.0

#: What a plugin module has no reason to load: libraries that do the work, and this kit.
HEAVY = frozenset(
    {
        "click", "datasets", "google.protobuf", "jax", "matplotlib", "mlflow", "numpy", "pandas", "peft", "psutil",
        "pyarrow", "pytest", "requests", "sacrebleu", "scipy", "sentencepiece", "sklearn", "sqlalchemy",
        "tensorboard", "tensorflow", "tokenizers", "torch", "transformers", "wandb", "codex_core.testing",
    }
)  # fmt: skip

_CHILD = """
import io, json, sys, time
from contextlib import redirect_stderr, redirect_stdout
import codex_core.components, codex_core.hookspecs
before, said = set(sys.modules), io.StringIO()
with redirect_stdout(said), redirect_stderr(said):
    start = time.process_time()
    __import__(sys.argv[1])
    spent = time.process_time() - start
print(json.dumps({"ms": 1000 * spent, "new": sorted(set(sys.modules) - before), "said": said.getvalue()}))
"""


def check_plugin_module(module: str, *, budget_ms: float = IMPORT_BUDGET_MS) -> float:
    """Import a plugin module in a process of its own; returns the milliseconds that it took."""
    best: float = float("inf")
    for _ in range(_TRIES):
        found = _imported(module)
        heavy = sorted(HEAVY.intersection(found["new"]))
        claim(
            not heavy,
            f"importing {module} loads {', '.join(heavy)}; move that import into the target's module",
        )
        claim(not found["said"], f"importing {module} prints {found['said'][:80]!r}")
        best = min(best, float(found["ms"]))
        if best <= budget_ms:
            return best
    sentence = f"importing {module} takes {best:.0f} ms of processor time, more than {budget_ms:.0f} ms"
    raise AssertionError(f"{sentence}; it and its package's __init__ may only describe")


def _imported(module: str) -> dict[str, Any]:
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, module],
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_LIMIT_S,
        check=False,
    )
    lines = done.stderr.strip().splitlines() or ["no message"]
    claim(done.returncode == 0, f"importing {module} fails: {lines[-1]}")
    value: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return value

"""What the conformance suites try the components of this distribution with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

#: A made-up key of the documented form, put together here so that no scanner takes this file for a leak.
ACCESS_KEY = "AKIA" + "IOSFODNN7EXAMPLE"


def examples(folder: Path) -> dict[str, dict[str, Any]]:
    """Examples by `kind/name`; no files are needed, so the empty `folder` stays empty."""
    return {"safety_policies/secrets": {"forbidden": [ACCESS_KEY]}}

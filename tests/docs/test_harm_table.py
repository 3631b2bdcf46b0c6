"""The table of harms names a test for each, and each test exists."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "explanation" / "mis-training.md"

ROW = re.compile(r"^\| ([ABC]\d):.*`(tests/[\w/]+\.py)::(test_\w+)` \|$", re.MULTILINE)


def test_every_harm_has_a_test_that_exists() -> None:
    """A1 to A8, B1 to B3 and C2 are in the table, and the file of each row defines the test that it names."""
    rows = ROW.findall(PAGE.read_text(encoding="utf-8"))
    harms = [*(f"A{n}" for n in range(1, 9)), "B1", "B2", "B3", "C2"]
    assert [harm for harm, _, _ in rows] == harms
    missing = [
        f"{path}::{name}"
        for _, path, name in rows
        if f"def {name}(" not in (ROOT / path).read_text(encoding="utf-8")
    ]
    assert missing == []

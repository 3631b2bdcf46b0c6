"""The package's page says what the code does."""

from __future__ import annotations

from pathlib import Path

from codex_safety.secrets import RULES

README = Path(__file__).resolve().parents[3] / "packages/codex-safety/README.md"


def test_the_table_of_rules_is_that_of_the_code():
    """Every rule stands in the table, in order, with its own summary."""
    rows = [line for line in README.read_text().splitlines() if line.startswith("| `")]

    assert [row for row in rows if "/" not in row.split("|")[1]] == [
        f"| `{rule.name}` | {rule.summary} |" for rule in RULES
    ]

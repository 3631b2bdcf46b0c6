"""Generated pages say what the code says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from codex_core.error_codes import CATALOGUE

ROOT = Path(__file__).resolve().parents[2]
CODE = re.compile(r'"([A-Z]{3}-\d{3})"')


def _sources() -> dict[Path, str]:
    return {path: path.read_text(encoding="utf-8") for path in ROOT.glob("packages/*/src/**/*.py")}


def test_generated_pages_are_fresh() -> None:
    """A changed catalogue or configuration class without its page is noticed."""
    done = subprocess.run(
        [sys.executable, "tools/reference.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout


def test_every_error_code_is_in_the_catalogue_and_every_entry_is_raised() -> None:
    """No error lacks its explanation, and no explanation its error."""
    raised = {
        code
        for path, text in _sources().items()
        if path.name != "error_codes.py"
        for code in CODE.findall(text)
    }

    assert raised - set(CATALOGUE) == set()
    assert set(CATALOGUE) - raised - {"RUN-010"} == set()  # RUN-010 is raised by `errors.Interrupted` itself

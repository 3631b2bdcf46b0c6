"""What a plan says of memory, against what a training takes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("codex_models")
from tests.support.measured_memory import CASES, measured

#: How far a plan may be off.
MARGIN = 0.10


@pytest.mark.proof
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="runs on Linux only")
@pytest.mark.parametrize("name", CASES)
def test_planned_memory_is_what_a_training_takes(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """The planned peak is within a tenth of the measured one, which is above 500 MB, evaluating and saving included."""
    found = measured(name, tmp_path)
    with capsys.disabled():
        print(
            f"\n{name:<14} planned {found.predicted / 1e6:7.0f} MB, measured {found.measured / 1e6:7.0f} MB, "
            f"off by {found.error:+.1%}"
        )
    assert found.measured > 500e6
    assert abs(found.error) <= MARGIN

"""Starting costs what the table of `bench/startup.py` allows, measured by that very program."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench import startup

#: Bars are for a quiet machine; medians of seven rounds varied by a tenth on a shared one (2 cores, load 10).
HEAD_ROOM = 1.3


@pytest.mark.proof
@pytest.mark.parametrize("distributions", [100, 1000])
def test_start_up_bars_hold(distributions: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Every case stays within its bar and some head-room; memory, which does not vary, within its bar."""
    measured = startup.measure(startup.cases(distributions), distributions, samples=7)

    with capsys.disabled():
        print(f"\n{startup.table(measured)}")
    assert [
        one for one in measured if one.case.bar is not None and one.ratio > HEAD_ROOM * one.case.bar
    ] == []
    assert [one for one in measured if one.case.bar_mb is not None and one.more_mb > one.case.bar_mb] == []


def test_verdicts_follow_both_bars() -> None:
    """A case holds when CPU and memory do; one without a bar is shown and never judged."""
    case = startup.Case("c", (), 2.0, bar_mb=15)

    shown = startup.table(
        [
            startup.Measured(case, 100, 2.0, 15.0),
            startup.Measured(case, 100, 2.1, 1.0),
            startup.Measured(case, 100, 1.0, 15.1),
            startup.Measured(case._replace(bar=None, bar_mb=None), 100, 99.0, 99.0),
        ]
    )

    assert [line.split("|")[-2].strip() for line in shown.splitlines()[2:]] == [
        "holds",
        "MISSED",
        "MISSED",
        "–",
    ]


def test_failing_case_is_an_error_and_not_a_number(tmp_path: Path) -> None:
    """A command that fails is never counted as a quick one."""
    failing = startup.Case("fails", (sys.executable, "-c", "raise SystemExit(3)"), 1.0)

    with pytest.raises(RuntimeError, match="fails ended with 3"):
        startup.run(failing, tmp_path, tmp_path)

"""Metric views: a pure function of the journal, equal for broken and unbroken runs."""

from __future__ import annotations

import csv
import math
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_core.running import views
from codex_core.running.views import MetricRows


def step(number: int, loss: float = 1.0) -> tuple[str, dict[str, object]]:
    """A step record."""
    return "step", {"step": number, "tokens": number * 8, "metrics": {"loss": loss / number}}


def evaluation(number: int, split: str = "validation") -> tuple[str, dict[str, object]]:
    """An evaluation record."""
    return "evaluation", {"step": number, "split": split, "metrics": {"bits_per_byte": 2.0 / number}}


def resumed(number: int) -> tuple[str, dict[str, object]]:
    """The record of a resume."""
    return "run_resumed", {"step": number}


def texts(*records: tuple[str, dict[str, object]]) -> tuple[str, str]:
    """Both views over records."""
    rows = MetricRows()
    for kind, fields in records:
        rows.take(kind, fields)
    return views.as_ndjson(rows.rows()), views.as_csv(rows.rows())


UNBROKEN = [step(1), step(2), evaluation(2), step(3), step(4), evaluation(4), evaluation(4, "test")]


@pytest.mark.parametrize("broken_after", range(len(UNBROKEN) + 1))
@pytest.mark.parametrize("saved", [0, 2, 4])
def test_views_are_equal_when_a_run_was_broken(broken_after: int, saved: int) -> None:
    """Wherever a run dies and from whichever earlier step it continues, its views equal those of the unbroken run."""
    first = UNBROKEN[:broken_after]
    again = [record for record in UNBROKEN if int(str(record[1]["step"])) > saved]
    if len(first) + len(again) < len(
        UNBROKEN
    ):  # a step is saved after all of its records, so there was none yet
        again = UNBROKEN
        saved = 0

    assert texts(*first, resumed(saved), *again) == texts(*UNBROKEN)


def test_rows_after_the_resumed_step_are_superseded() -> None:
    """What an abandoned attempt measured after the checkpoint no longer counts, even before anything replaces it."""
    ndjson, _ = texts(step(1), step(2), step(3), resumed(1))

    assert [line for line in ndjson.splitlines() if '"step": 2' in line or '"step": 3' in line] == []
    assert '"step": 1' in ndjson


def test_second_resume_from_an_older_step_drops_both_attempts() -> None:
    """The lineage that counts is the last one: each resume cuts all attempts before it."""
    rows = MetricRows()
    for kind, fields in [step(1), step(2), step(3), resumed(2), step(3, 9.0), resumed(1), step(2, 5.0)]:
        rows.take(kind, fields)

    assert [(row["step"], row["loss"]) for row in rows.rows()] == [(1, 1.0), (2, 2.5)]


def test_training_row_comes_first_within_a_step() -> None:
    """Rows stand by step; within a step training, then splits by name, whatever the order of events."""
    rows = MetricRows()
    for kind, fields in [evaluation(2, "validation"), evaluation(2, "test"), step(2), step(1)]:
        rows.take(kind, fields)

    assert [(row["step"], row["split"]) for row in rows.rows()] == [
        (1, "train"),
        (2, "train"),
        (2, "test"),
        (2, "validation"),
    ]


@given(st.floats())
def test_floats_come_back_bit_for_bit(value: float) -> None:
    """Full precision in both files: what is read equals what was measured; NaN and infinities stay visible."""
    ndjson, table = texts(("step", {"step": 1, "tokens": 8, "metrics": {"loss": value}}))

    cell = float(next(iter(csv.DictReader(table.splitlines())))["loss"])
    assert (math.isnan(value) and math.isnan(cell)) or struct.pack("<d", cell) == struct.pack("<d", value)
    if math.isfinite(value):
        assert f'"loss": {value!r}' in ndjson


def test_value_that_was_not_measured_is_an_empty_cell() -> None:
    """An evaluation has no token count and a training row no bits per byte: absent, never zero."""
    ndjson, table = texts(step(1), evaluation(1))

    assert list(csv.DictReader(table.splitlines()))[1]["tokens"] == ""
    assert "tokens" not in ndjson.splitlines()[1]


@pytest.mark.parametrize("name", views.ROW_KEYS)
def test_metric_named_like_a_row_key_is_refused(name: str) -> None:
    """A metric called `step` would overwrite the step; it is refused where it is recorded."""
    with pytest.raises(ValueError, match=name):
        views.row_of("step", {"step": 1, "tokens": 1, "metrics": {name: 1.0}})


def test_files_are_replaced_whole(tmp_path: Path) -> None:
    """Writing twice gives the same bytes and leaves no temporary file."""
    rows = MetricRows()
    rows.take(*step(1))
    rows.write(tmp_path)
    before = [(path.name, path.read_bytes()) for path in sorted(tmp_path.iterdir())]
    rows.write(tmp_path)

    assert [(path.name, path.read_bytes()) for path in sorted(tmp_path.iterdir())] == before
    assert [name for name, _ in before] == ["metrics.csv", "metrics.ndjson"]
    assert views.read_rows(tmp_path) == rows.rows() and views.read_rows(tmp_path / "none") == []

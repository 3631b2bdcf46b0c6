"""The TensorBoard writer, read back with TensorBoard's own reader."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from codex_core.contracts import RunInfo, Writer
from codex_core.errors import InputError, MissingDependency
from codex_telemetry import tensorboard
from codex_telemetry.options import TensorBoardOptions
from codex_telemetry.tensorboard import TensorBoardWriter

MOMENT_S = 1_767_323_045.5


def written(run_dir: Path, rows: list[dict], *, attempt: int = 1, **options: str) -> None:
    """Write rows as one attempt of a run."""
    writer = TensorBoardWriter(TensorBoardOptions(**options), clock=lambda: MOMENT_S)
    writer.open(RunInfo(run_id="r1", name="small", attempt=attempt, path=run_dir))
    for sequence, row in enumerate(rows, 1):
        writer.write(row, sequence)
    assert writer.flush() == len(rows)
    writer.close()


def read(run_dir: Path) -> EventAccumulator:
    """What TensorBoard itself reads."""
    accumulator = EventAccumulator(str(run_dir / "tensorboard"), size_guidance={"scalars": 0})
    accumulator.Reload()
    return accumulator


def scalars(run_dir: Path, tag: str) -> list[tuple[int, float]]:
    """Steps and values of one curve."""
    return [(event.step, event.value) for event in read(run_dir).Scalars(tag)]


def test_values_come_back_with_step_time_and_split(tmp_path):
    """Every number of every row is a scalar named after split and metric, in 32 bits."""
    written(
        tmp_path,
        [
            {"step": 10, "split": "train", "tokens": 640, "loss": 2.5, "lr": 0.1},
            {"step": 10, "split": "validation", "bits_per_byte": 1.75},
            {"step": 20, "split": "train", "tokens": 1280, "loss": 2.25, "lr": 0.05},
        ],
    )

    assert read(tmp_path).Tags()["scalars"] == [
        "train/tokens",
        "train/loss",
        "train/lr",
        "validation/bits_per_byte",
    ]
    assert scalars(tmp_path, "train/loss") == [(10, 2.5), (20, 2.25)]
    assert scalars(tmp_path, "train/tokens") == [(10, 640), (20, 1280)]
    assert scalars(tmp_path, "train/lr")[0][1] == pytest.approx(0.1, rel=1e-7)  # 24 bits of mantissa
    assert {event.wall_time for event in read(tmp_path).Scalars("train/loss")} == {MOMENT_S}


def test_values_that_are_no_finite_numbers_are_kept(tmp_path):
    """Rows spell NaN and infinities as texts; TensorBoard gets the numbers."""
    written(
        tmp_path, [{"step": 1, "split": "train", "a": "NaN", "b": "Infinity", "c": "-Infinity", "d": 1e300}]
    )

    assert math.isnan(scalars(tmp_path, "train/a")[0][1])
    assert [scalars(tmp_path, f"train/{name}")[0][1] for name in "bcd"] == [math.inf, -math.inf, math.inf]


def test_a_resumed_attempt_replaces_what_came_after_it(tmp_path):
    """Each attempt has a file of its own; TensorBoard shows the curve that counts, without doubled steps."""
    written(tmp_path, [{"step": step, "split": "train", "loss": 9.0} for step in (1, 2, 3, 4)])
    written(tmp_path, [{"step": step, "split": "train", "loss": 1.0} for step in (3, 4, 5)], attempt=2)

    assert len(list((tmp_path / "tensorboard").iterdir())) == 2
    assert scalars(tmp_path, "train/loss") == [(1, 9.0), (2, 9.0), (3, 1.0), (4, 1.0), (5, 1.0)]


def test_rows_are_readable_before_the_writer_is_closed(tmp_path):
    """What was flushed is there for TensorBoard while the run goes on, and after a crash."""
    writer = TensorBoardWriter()
    writer.open(RunInfo(run_id="r1", name="small", attempt=1, path=tmp_path))
    assert writer.flush() == 0
    writer.write({"step": 1, "split": "train", "loss": 0.5}, 1)
    assert writer.flush() == 1

    assert scalars(tmp_path, "train/loss") == [(1, 0.5)]
    writer.close()
    writer.close()


def test_curves_can_be_grouped_by_metric(tmp_path):
    """With `group_by: metric` one chart shows a metric of all splits."""
    written(tmp_path, [{"step": 1, "split": "train", "loss": 0.5}], group_by="metric")

    assert scalars(tmp_path, "loss/train") == [(1, 0.5)]


def test_an_attempt_never_writes_into_the_file_of_another(tmp_path):
    """A file that exists is an error, not something to continue or to replace."""
    written(tmp_path, [{"step": 1, "split": "train", "loss": 0.5}])
    with pytest.raises(FileExistsError):
        written(tmp_path, [{"step": 1, "split": "train", "loss": 0.6}])


def test_what_is_no_number_is_refused(tmp_path):
    """A metric that cannot be drawn is an error with its name; the pump sets the writer aside and says so."""
    with pytest.raises(InputError, match="'note'") as caught:
        written(tmp_path, [{"step": 1, "split": "train", "note": "text"}])
    assert caught.value.code == "TEL-003"


def test_the_writer_says_when_tensorboard_is_missing(tmp_path, monkeypatch):
    """The probe names the reason and the fix; opening anyway is an error with the install line."""
    assert isinstance(TensorBoardWriter(), Writer)
    assert TensorBoardWriter().probe() is None
    monkeypatch.setattr(tensorboard, "MISSING", "No module named 'tensorboard'")

    assert "tensorboard" in str(TensorBoardWriter().probe())
    with pytest.raises(MissingDependency, match="needs the library") as caught:
        TensorBoardWriter().open(RunInfo(run_id="r1", name="small", attempt=1, path=tmp_path))
    assert caught.value.code == "TEL-004"
    assert not list(tmp_path.iterdir())

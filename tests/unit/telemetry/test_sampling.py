"""Samples of the machine: complete rows, a clean end, and honesty about what cannot be measured."""

from __future__ import annotations

import errno
import json
import logging
import subprocess
import sys
import threading
import time
import types
from pathlib import Path

import pytest

from codex_core.error_codes import CATALOGUE
from codex_core.errors import InputError, UsageError
from codex_core.files import Files
from codex_telemetry import plugin, samples, sampling
from codex_telemetry.probes import Sample, gpu_probe, machine_probe, probes_for
from codex_telemetry.sampling import Sampler, next_due
from tests.unit.telemetry.runs import finished, journalled, started

HOUR_S = 3600.0


def threads() -> list[str]:
    """Names of the samplers' threads that are alive."""
    return [thread.name for thread in threading.enumerate() if "system-metrics" in thread.name]


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A run directory with a journal."""
    return journalled(tmp_path)


def test_the_shortest_run_has_two_valid_rows_and_no_thread_left(run_dir):
    """One row when it starts, one when it ends, both of the schema, whatever the interval."""
    began = time.monotonic()
    plugin.codex_run_started(started(run_dir, system_metrics="cpu", system_interval_s=HOUR_S))
    plugin.codex_run_finished(finished(run_dir))
    rows = samples.read(run_dir)

    assert len(rows) == 2
    assert [samples.problems(row) for row in rows] == [[], []]
    assert {"process_cpu_percent", "cpu_percent"} <= set(rows[1]) - set(rows[0])
    assert all({"rss_bytes", "memory_percent"} <= set(row) and not row["degraded"] for row in rows)
    assert time.monotonic() - began < HOUR_S / 100
    assert threads() == []
    assert "system_metrics" in (run_dir / "log.txt").read_text().splitlines()[-1]


def test_off_writes_nothing_and_starts_nothing(run_dir):
    """Off is off: no file, no thread, and no library of ours is asked."""
    plugin.codex_run_started(started(run_dir, system_metrics="off"))
    plugin.codex_run_started(started(run_dir))

    assert threads() == []
    plugin.codex_run_finished(finished(run_dir))
    assert not (run_dir / "system.ndjson").exists()
    assert "system_metrics" not in (run_dir / "log.txt").read_text()


def test_an_unknown_setting_is_refused(run_dir):
    """A typo is no silent off."""
    with pytest.raises(UsageError) as caught:
        sampling.start(started(run_dir, system_metrics="cpus"))
    assert caught.value.code == "TEL-001"


def test_rows_come_at_the_interval(tmp_path):
    """Between the first and the last row there is one per interval."""
    taken = threading.Semaphore(0)

    def probe() -> Sample:
        taken.release()
        return Sample({})

    sampler = Sampler(tmp_path / "system.ndjson", attempt=1, interval_s=0.05, probes=[probe])
    sampler.start()
    for _ in range(5):
        assert taken.acquire(timeout=10)
    sampler.stop()
    rows = samples.read(tmp_path)

    assert len(rows) >= 6
    for row in rows[1:5]:
        assert row["elapsed_s"] >= 0.05  # waits never end early; late ones are counted as missed
    ticks = sum(1 + row["missed"] for row in rows[1:-1])
    assert ticks * 0.05 <= rows[-1]["elapsed_s"] + 0.001


def test_slow_samples_are_counted_as_missed_ticks():
    """A sample that took three intervals leaves two ticks out, and the schedule stays on its grid."""
    assert next_due(5.0, 5.0, 5.0) == (10.0, 0)
    assert next_due(5.0, 9.9, 5.0) == (10.0, 0)
    assert next_due(5.0, 19.0, 5.0) == (20.0, 2)


def test_a_second_attempt_continues_the_file_after_a_torn_line(run_dir):
    """What a killed attempt left is kept; its torn line swallows no row of the next one."""
    path = run_dir / "system.ndjson"
    for attempt in (1, 2):
        sampling.start(started(run_dir, attempt=attempt, system_metrics="cpu"))
        sampling.stop(run_dir)
        if attempt == 1:
            path.write_bytes(path.read_bytes()[:-30])

    assert [row["attempt"] for row in samples.read(run_dir)] == [1, 2, 2]
    assert len(path.read_bytes().splitlines()) == 4


def test_without_psutil_rows_are_written_and_say_so(run_dir, monkeypatch, caplog):
    """What Python measures itself stays, the rest has a reason, and one warning tells the user."""
    monkeypatch.setitem(sys.modules, "psutil", None)
    with caplog.at_level(logging.WARNING, logger="codex_telemetry"):
        sampling.start(started(run_dir, system_metrics="cpu"))
        sampling.stop(run_dir)
    rows = samples.read(run_dir)

    assert len(rows) == 2
    for row in rows:
        assert samples.problems(row) == []
        assert row["degraded"] is True
        assert "psutil" in row["reasons"][0]
        assert "memory_percent" not in row and row["max_rss_bytes"] > 0
    assert len([record for record in caplog.records if "psutil" in record.getMessage()]) == 1
    assert "psutil" in samples.summarize(run_dir)["degraded"]


def test_gpus_without_nvml_have_a_reason_beside_the_cpu(run_dir, monkeypatch):
    """Asking for GPUs where NVML cannot be asked gives CPU rows with the reason and the fix."""
    monkeypatch.setitem(sys.modules, "pynvml", None)
    sampling.start(started(run_dir, system_metrics="gpu"))
    sampling.stop(run_dir)
    row = samples.read(run_dir)[-1]

    assert samples.problems(row) == []
    assert "cpu_percent" in row and "gpus" not in row
    assert row["reasons"] == [reason for reason in row["reasons"] if "codex-telemetry[gpu]" in reason]


class Driver(types.ModuleType):
    """A stand-in for the NVML binding, for machines without a driver: two GPUs, one of which knows no power."""

    class NVMLError(Exception):
        """What the binding raises."""

    def __init__(self, *, init_error: str | None = None, count: int = 2) -> None:
        super().__init__("pynvml")
        self.init_error, self.count = init_error, count

    def nvmlInit(self) -> None:
        """Connect to the driver."""
        if self.init_error:
            raise self.NVMLError(self.init_error)

    def nvmlDeviceGetCount(self) -> int:
        """How many there are."""
        return self.count

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        """The handle of one; here its number."""
        return index

    def nvmlDeviceGetUUID(self, handle: int) -> bytes:
        """Old bindings give bytes."""
        return f"GPU-{handle}".encode()

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> types.SimpleNamespace:
        """Bytes."""
        return types.SimpleNamespace(used=3 << 30, total=80 << 30)

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> types.SimpleNamespace:
        """Per cent."""
        return types.SimpleNamespace(gpu=97)

    def nvmlDeviceGetPowerUsage(self, handle: int) -> int:
        """Milliwatts."""
        if handle == 1:
            raise self.NVMLError("Not Supported")
        return 412_500

    def nvmlDeviceGetTemperature(self, handle: int, sensor: int) -> int:
        """Degrees."""
        return 61


def test_gpus_are_measured_value_by_value(monkeypatch):
    """A value that one GPU lacks is absent there, with a reason; everything else is measured."""
    monkeypatch.setitem(sys.modules, "pynvml", Driver())
    sample = gpu_probe()()

    assert sample.values["gpus"][0] == {
        "index": 0,
        "uuid": "GPU-0",
        "memory_used_bytes": 3 << 30,
        "memory_total_bytes": 80 << 30,
        "busy_percent": 97,
        "power_w": 412.5,
        "temperature_c": 61,
    }
    assert "power_w" not in sample.values["gpus"][1]
    assert sample.reasons == ("GPU 1 has no power_w: Not Supported",)
    row = dict.fromkeys(samples.REQUIRED) | sample.values
    assert not [problem for problem in samples.problems(row) if "_w" in problem or "uuid" in problem]


@pytest.mark.parametrize(
    ("driver", "reason"),
    [(Driver(init_error="Driver Not Loaded"), "Driver Not Loaded"), (Driver(count=0), "shows none")],
)
def test_a_driver_that_cannot_be_used_is_a_reason(monkeypatch, driver, reason):
    """A missing driver and a machine without GPUs are told in every row."""
    monkeypatch.setitem(sys.modules, "pynvml", driver)

    assert reason in gpu_probe()().reasons[0]


def test_cpu_asks_no_driver(monkeypatch):
    """GPUs are touched only when they were asked for."""
    monkeypatch.setitem(sys.modules, "pynvml", Driver(init_error="must not be called"))

    assert len(probes_for("cpu")) == 2 and len(probes_for("gpu")) == 3
    assert machine_probe()().reasons == ()


class FullDisk(Files):
    """A disk that takes one row and no more."""

    def __init__(self) -> None:
        self.rows = 0

    def append(self, descriptor: int, data: bytes) -> None:
        """Write the first row, fail at the second."""
        self.rows += 1
        if self.rows > 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        super().append(descriptor, data)


def test_a_sampler_that_fails_tells_why_when_it_is_stopped(tmp_path):
    """A full disk ends the sampling, not the run, and is told at the end."""
    sampler = Sampler(tmp_path / "system.ndjson", attempt=1, interval_s=HOUR_S, probes=[], files=FullDisk())
    sampler.start()

    with pytest.raises(OSError, match="No space left"):
        sampler.stop()
    assert len(samples.read(tmp_path)) == 1
    assert threads() == []


def test_a_hanging_driver_does_not_hold_up_the_end(tmp_path):
    """A stop gives up on a sample that does not return, and says so."""
    entered, release = threading.Event(), threading.Event()

    def probe() -> Sample:
        if threading.current_thread() is not threading.main_thread():
            entered.set()
            release.wait(60)
        return Sample({})

    sampler = Sampler(
        tmp_path / "system.ndjson", attempt=1, interval_s=0.001, probes=[probe], stop_wait_s=0.05
    )
    sampler.start()
    assert entered.wait(10)
    with pytest.raises(TimeoutError, match="longer than"):
        sampler.stop()
    release.set()


def test_an_unwritable_place_is_an_error_of_the_hook(tmp_path):
    """Where no row can be written the hook fails with a code, and nothing is left running."""
    with pytest.raises(InputError) as caught:
        sampling.start(started(tmp_path / "nowhere", system_metrics="cpu"))
    assert caught.value.code == "TEL-002" and caught.value.code in CATALOGUE
    assert threads() == []


ENDINGS = {
    "exception": "raise RuntimeError('the training failed')",
    "interrupt": "raise KeyboardInterrupt",
    "exit": "sys.exit(3)",
    "silence": "pass",
    "fork": "os.waitpid(os.fork(), 0)",
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_interpreter_ends_at_once_and_with_a_last_row(tmp_path, ending):
    """Whatever ends a process without finishing the run, the sampler neither delays it nor loses its last row."""
    code = f"""
import os, sys, time
from pathlib import Path
from codex_core.events import RunStartedContext
from codex_telemetry import plugin
telemetry = {{"system_metrics": "cpu", "system_interval_s": {HOUR_S}}}
plugin.codex_run_started(
    ctx=RunStartedContext(run_id="r", run_dir=Path({str(tmp_path)!r}), attempt=1, lock={{}}, telemetry=telemetry)
)
{ENDINGS[ending]}
"""
    subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=False)
    rows = [json.loads(line) for line in (tmp_path / "system.ndjson").read_text().splitlines()]

    assert len(rows) == 2
    assert [samples.problems(row) for row in rows] == [[], []]


def test_importing_the_plugin_loads_no_library():
    """Describing the distribution costs neither structlog nor psutil nor TensorBoard."""
    code = """
import sys, codex_telemetry.plugin
print([name for name in ("structlog", "psutil", "tensorboard", "rich") if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stdout.strip() == "[]"

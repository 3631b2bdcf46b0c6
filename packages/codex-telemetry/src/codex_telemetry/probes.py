"""What is measured: this process, the machine, its GPUs.

Decisions: a probe gives the values it can and the reasons for those it cannot, at every sample; the process is
measured with what Python itself has, so that something is left without psutil; NVML is touched only when GPUs were
asked for, and each of its values may be missing, since drivers lack calls and GPUs get lost.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

import attrs


@attrs.frozen
class Sample:
    """Values by name, and what could not be measured, as sentences."""

    values: dict[str, Any]
    reasons: tuple[str, ...] = ()


Probe = Callable[[], Sample]


def probes_for(mode: str) -> list[Probe]:
    """The probes of a setting of `telemetry.system_metrics`; `gpu` is `cpu` and the GPUs."""
    return [ProcessProbe(), machine_probe(), *([gpu_probe()] if mode == "gpu" else [])]


class ProcessProbe:
    """CPU use and memory of this process, its threads included, from Python's own means."""

    def __init__(self) -> None:
        self._before: tuple[float, float] | None = None

    def __call__(self) -> Sample:
        """Measure; the CPU use refers to the time since the last call."""
        now, used = time.monotonic(), sum(os.times()[:2])
        values: dict[str, Any] = {}
        if self._before is not None and now > self._before[0]:
            values["process_cpu_percent"] = 100 * (used - self._before[1]) / (now - self._before[0])
        self._before = (now, used)
        return Sample(values | _memory())


def _memory() -> dict[str, int]:
    """The process's resident memory now, where the system tells, and its peak."""
    values = {}
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            values["rss_bytes"] = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        pass  # not Linux; psutil gives it
    try:
        import resource
    except ImportError:  # Windows
        return values
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return values | {"max_rss_bytes": peak if sys.platform == "darwin" else peak * 1024}


def machine_probe() -> Probe:
    """CPU, memory and load of the machine; without psutil the load alone, and the reason."""
    try:
        psutil = import_module("psutil")
    except ImportError as error:
        missing = f"psutil cannot be imported ({error}); pip install psutil"
        return lambda: Sample(_load(), (missing,))
    process = psutil.Process()
    psutil.cpu_percent(None)  # its first value refers to nothing
    calls = 0

    def measure() -> Sample:
        nonlocal calls
        calls += 1
        memory = psutil.virtual_memory()
        values = {
            "rss_bytes": int(process.memory_info().rss),
            "num_threads": int(process.num_threads()),
            "memory_percent": float(memory.percent),
            "memory_used_bytes": int(memory.used),
            "memory_total_bytes": int(memory.total),
        }
        busy = float(psutil.cpu_percent(None))
        return Sample(values | _load() | ({"cpu_percent": busy} if calls > 1 else {}))

    return measure


def _load() -> dict[str, float]:
    try:
        return {"load_1m": os.getloadavg()[0]}
    except (AttributeError, OSError):  # Windows, and containers that hide it
        return {}


def gpu_probe() -> Probe:
    """Every GPU that NVML shows; without NVML the reason."""
    try:
        nvml = import_module("pynvml")
    except ImportError as error:
        reason = f"GPUs are not measured: {error}; pip install 'codex-telemetry[gpu]'"
        return lambda: Sample({}, (reason,))
    try:
        nvml.nvmlInit()
        handles = [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
    except nvml.NVMLError as error:
        reason = f"GPUs are not measured: NVML says {error}"
        return lambda: Sample({}, (reason,))
    if not handles:
        return lambda: Sample({}, ("GPUs are not measured: NVML shows none",))
    return lambda: _gpus(nvml, handles)


def _gpus(nvml: Any, handles: list[Any]) -> Sample:
    gpus, reasons = [], []
    for index, handle in enumerate(handles):
        gpu: dict[str, Any] = {"index": index}
        for names, measure in _GPU_VALUES:
            try:
                gpu |= zip(names, measure(nvml, handle), strict=True)
            except nvml.NVMLError as error:
                reasons.append(f"GPU {index} has no {' and '.join(names)}: {error}")
        gpus.append(gpu)
    return Sample({"gpus": gpus}, tuple(reasons))


def _uuid(nvml: Any, handle: Any) -> tuple[str]:
    uuid = nvml.nvmlDeviceGetUUID(handle)
    return (uuid.decode() if isinstance(uuid, bytes) else str(uuid),)


def _gpu_memory(nvml: Any, handle: Any) -> tuple[int, int]:
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    return int(memory.used), int(memory.total)


_GPU_VALUES: tuple[tuple[tuple[str, ...], Callable[[Any, Any], tuple[Any, ...]]], ...] = (
    (("uuid",), _uuid),
    (("memory_used_bytes", "memory_total_bytes"), _gpu_memory),
    (("busy_percent",), lambda nvml, handle: (int(nvml.nvmlDeviceGetUtilizationRates(handle).gpu),)),
    (("power_w",), lambda nvml, handle: (nvml.nvmlDeviceGetPowerUsage(handle) / 1000,)),
    (("temperature_c",), lambda nvml, handle: (int(nvml.nvmlDeviceGetTemperature(handle, 0)),)),
)

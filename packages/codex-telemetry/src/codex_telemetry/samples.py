"""The rows of `system.ndjson`: what they hold, and how they are read back.

    {"schema": "codex-system/1", "time": "...Z", "attempt": 1, "elapsed_s": 5.0, "missed": 0, "degraded": false,
     "process_cpu_percent": 98.5, "rss_bytes": 812331008, "cpu_percent": 51.2, "memory_percent": 40.1, ...}

Decisions: units are in the names; what could not be measured is absent, never zero; a row that lacks something
that was asked for is `degraded` and gives the reasons; rates refer to the time since the row before, so a first row
has none; `process_cpu_percent` is per cent of one core, `cpu_percent` of all.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SAMPLES_NAME = "system.ndjson"
SCHEMA = "codex-system/1"

#: Every key that a row may have, with its type; the first six are in every row.
KEYS: Mapping[str, type | tuple[type, ...]] = {
    "schema": str,
    "time": str,
    "attempt": int,
    "elapsed_s": float,
    "missed": int,
    "degraded": bool,
    "reasons": list,
    "process_cpu_percent": float,
    "cpu_percent": float,
    "rss_bytes": int,
    "max_rss_bytes": int,
    "num_threads": int,
    "memory_percent": float,
    "memory_used_bytes": int,
    "memory_total_bytes": int,
    "load_1m": float,
    "gpus": list,
}
REQUIRED = tuple(KEYS)[:6]

#: Keys of each entry of `gpus`; `index` and `uuid` are in every entry.
GPU_KEYS: Mapping[str, type | tuple[type, ...]] = {
    "index": int,
    "uuid": str,
    "busy_percent": int,
    "memory_used_bytes": int,
    "memory_total_bytes": int,
    "power_w": float,
    "temperature_c": int,
}


def problems(row: Mapping[str, Any]) -> list[str]:
    """What keeps a row from being one of this schema; nothing for a valid row."""
    found = [f"{name} is missing" for name in REQUIRED if name not in row]
    found += _misfits(row, KEYS)
    if row.get("schema") not in (None, SCHEMA):
        found.append(f"the schema is {row['schema']!r}, not {SCHEMA!r}")
    if bool(row.get("reasons")) != bool(row.get("degraded")):
        found.append("a degraded row gives reasons, any other gives none")
    for gpu in row.get("gpus", ()):
        found += _misfits(gpu, GPU_KEYS)
    return found


def _misfits(row: Mapping[str, Any], keys: Mapping[str, type | tuple[type, ...]]) -> list[str]:
    found = [f"{name} is not known" for name in row if name not in keys]
    return found + [
        f"{name} is {type(value).__name__}"
        for name, value in row.items()
        if name in keys and not isinstance(value, keys[name])
    ]


def read(run_dir: Path) -> list[dict[str, Any]]:
    """The rows of a run, oldest first; lines that a crash tore are passed over."""
    try:
        lines = (run_dir / SAMPLES_NAME).read_bytes().splitlines()
    except FileNotFoundError:
        return []
    rows = []
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            rows.append(row)
    return rows


def summarize(run_dir: Path) -> dict[str, Any] | None:
    """Counts, means and peaks over all rows of a run; None when nothing was sampled."""
    rows = read(run_dir)
    if not rows:
        return None
    summary: dict[str, Any] = {"samples": len(rows), "missed": sum(row.get("missed", 0) for row in rows)}
    for name in ("process_cpu_percent", "cpu_percent"):
        if values := [row[name] for row in rows if name in row]:
            summary[f"{name}_mean"] = sum(values) / len(values)
    for name in ("rss_bytes", "max_rss_bytes", "memory_percent"):
        if values := [row[name] for row in rows if name in row]:
            summary[f"{name}_peak"] = max(values)
    if reasons := sorted({reason for row in rows for reason in row.get("reasons", ())}):
        summary["degraded"] = "; ".join(reasons)
    return summary

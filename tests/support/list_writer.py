"""A metric writer that keeps what it is given and can fail wherever a test wants."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from codex_core.contracts import RunInfo


@attrs.define
class ListWriter:
    """Keeps what it is given; `fail` is called with the name of each method and may raise."""

    fail: Callable[[str], None] = lambda method: None
    problem: str | None = None
    acknowledges: bool = True
    capabilities: frozenset[str] = frozenset()
    rows: list[tuple[int, Mapping[str, Any]]] = attrs.field(factory=list)
    calls: list[str] = attrs.field(factory=list)
    threads: set[str] = attrs.field(factory=set)

    def _called(self, method: str) -> None:
        self.calls.append(method)
        self.threads.add(threading.current_thread().name)
        self.fail(method)

    def probe(self) -> str | None:
        self._called("probe")
        return self.problem

    def open(self, run: RunInfo) -> None:
        self._called("open")

    def write(self, row: Mapping[str, Any], sequence: int) -> None:
        self._called("write")
        self.rows.append((sequence, row))

    def flush(self) -> int:
        self._called("flush")
        return self.rows[-1][0] if self.rows and self.acknowledges else 0

    def close(self) -> None:
        self._called("close")

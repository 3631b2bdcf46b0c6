"""When things are due, and how fast they go."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import attrs

from codex_core.events import PerfMeasured

#: `ru_maxrss` is in bytes on macOS and in kilobytes elsewhere.
_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024


def is_due(step: int, *, every: int, last: int) -> bool:
    """Whether work scheduled each `every` steps happens at `step`: never for 0, else also at the last.

    >>> [is_due(s, every=2, last=5) for s in (1, 2, 5)]
    [False, True, True]
    """
    return every > 0 and (step == last or step % every == 0)


@attrs.define(eq=False)
class Pace:
    """Rates over the interval since they were last told; evaluating and saving are not counted.

    How long saves held the training up is told beside them, for the saves since the last telling.
    """

    clock: Callable[[], float]
    since: float = 0.0
    steps: int = 0
    tokens: int = 0
    supervised: int = 0
    saving_s: float | None = None

    def __attrs_post_init__(self) -> None:
        self.since = self.clock()

    def took(self, *, tokens: int, supervised: int) -> None:
        """Count one step."""
        self.steps += 1
        self.tokens += tokens
        self.supervised += supervised

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave out the time that is spent inside."""
        began = self.clock()
        yield
        self.since += self.clock() - began

    @contextmanager
    def saving(self) -> Iterator[None]:
        """Leave out the time that is spent inside, and tell of it."""
        began = self.clock()
        with self.paused():
            yield
        self.saving_s = (self.saving_s or 0.0) + self.clock() - began

    def measured(self, step: int) -> PerfMeasured:
        """Rates of the interval that ends at `step`; the next one begins."""
        now = self.clock()
        elapsed_s = max(now - self.since, 1e-9)
        values = {
            "tokens_per_s": self.tokens / elapsed_s,
            "supervised_tokens_per_s": self.supervised / elapsed_s,
            "step_ms": 1e3 * elapsed_s / max(1, self.steps),
            "peak_rss_bytes": float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAXRSS_UNIT),
        }
        if self.saving_s is not None:
            values["save_blocked_ms"] = 1e3 * self.saving_s
        self.since, self.steps, self.tokens, self.supervised, self.saving_s = now, 0, 0, 0, None
        return PerfMeasured(step=step, values=values)

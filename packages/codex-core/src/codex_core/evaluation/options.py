"""Options of the metrics and of the tabular writers."""

from __future__ import annotations

import attrs

from codex_core.options import option


@attrs.frozen(kw_only=True)
class MetricOptions:
    """The metrics of this room have no options: each definition is fixed, and so comparable."""


@attrs.frozen(kw_only=True)
class WriterOptions:
    """Options of the writers `ndjson` and `csv`."""

    path: str | None = option(
        None,
        doc="file to append to, relative to the run directory; by default writers/metrics-NAME.ndjson or .csv",
        resumable=True,
    )

"""Core's events as lines that people read, through structlog.

Decisions: one line per event: time, level, kind, fields; measurements stand beside the other fields, floats with
six significant digits; control characters are spelled out, so that no text from a run can forge a line or move a
cursor; rendering is a pure function of the event, so the same journal gives the same log.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, MutableMapping, Sequence
from functools import cache
from typing import Any

import structlog
from structlog.typing import Processor

from codex_core.events import Event
from codex_core.journal import JournalRecord, plain

#: Kinds of events that a reader should not overlook.
WARNINGS = frozenset({"warning", "checkpoint_rejected", "writer_disabled", "plugin_failed"})

_Fields = MutableMapping[str, Any]


def render_event(event: Event, *, time: str = "") -> str:
    """An event as one line; `time` as it stands in journals.

    >>> from codex_core.events import StepDone
    >>> render_event(StepDone(step=3, tokens=96, metrics={"loss": 2.5}))
    'info     step                 step=3 tokens=96 loss=2.5'
    """
    return render(event.kind, plain(event.fields()), time=time)


def render_record(record: JournalRecord) -> str:
    """A record of a journal as one line."""
    return render(record.kind, record.fields, time=record.time)


def render(kind: str, fields: Mapping[str, Any], *, time: str = "") -> str:
    """A kind of event with its plain fields as one line."""
    line: Any = {"event": kind, "timestamp": time, "level": level_of(kind, fields), "fields": fields}
    for process in _pipeline():
        line = process(None, line["level"], line)
    return str(line).rstrip()


def level_of(kind: str, fields: Mapping[str, Any]) -> str:
    """`info`, `warning`, or `error` for a run that failed."""
    if kind == "run_finished" and fields.get("status") == "failed":
        return "error"
    return "warning" if kind in WARNINGS else "info"


@cache
def _pipeline() -> Sequence[Processor]:
    """The processors, in order; the last one makes the line."""
    column, plainly = structlog.dev.Column, structlog.dev.KeyValueColumnFormatter

    def aligned(width: int) -> structlog.dev.KeyValueColumnFormatter:
        return plainly(None, "", "", str, width=width)

    fields = plainly("", "", "", str)
    columns = [
        column("timestamp", aligned(0)),
        column("level", aligned(8)),
        column("event", aligned(20)),
        column("", fields),
    ]
    return (_spread, _spell, structlog.dev.ConsoleRenderer(sort_keys=False, columns=columns))


def _spread(logger: Any, method: str, line: _Fields) -> _Fields:
    """Put fields, and the measurements among them, beside each other."""
    spread: dict[str, Any] = {}
    for name, value in line.pop("fields").items():
        if name in ("metrics", "values") and isinstance(value, Mapping):
            spread |= value
        else:
            spread[name] = value
    for name, value in spread.items():
        line[f"{name}_" if name in line else name] = value
    return line


def _spell(logger: Any, method: str, line: _Fields) -> _Fields:
    """Make every value one word of printable text."""
    return {_printable(name): _word(value) for name, value in line.items() if value != ""}


def _word(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, str):
        text = _printable(value)
        return f'"{text.replace(chr(34), chr(39))}"' if any(c in text for c in ' "=') else text
    return _printable(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)

"""The project's own journal, `.codex/journal.ndjson`: failures and sessions, one line each.

Decision: writing to it never raises. It tells of failures; it must not cause one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

from codex_core.clock import Now, timestamp, utc_now
from codex_core.errors import CodexError
from codex_core.places import Places
from codex_core.scrub import Scrubber


def append(
    places: Places,
    kind: str,
    fields: Mapping[str, Any],
    *,
    scrub: Scrubber | None = None,
    now: Now = utc_now,
) -> bool:
    """Add one scrubbed row `{time, kind, ...}`; returns whether it was written, and never raises."""
    scrub = Scrubber.of(os.environ) if scrub is None else scrub
    try:
        row = {"time": timestamp(now()), "kind": kind} | scrub(dict(fields))
        line = json.dumps(row, ensure_ascii=False, default=str).encode(errors="replace") + b"\n"
        places.state.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(places.journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            return os.write(descriptor, line) == len(line)
        finally:
            os.close(descriptor)
    except Exception:  # noqa: BLE001 -- a journal of failures that fails must stay quiet; the caller is told
        return False


def note_failure(
    places: Places, error: BaseException, *, command: str, now: Now = utc_now, **fields: Any
) -> bool:
    """Add the row of a failed command: code, sentence and exit code where the error has them.

    An error is noted once, by whoever meets it first: within the run, or at the edge of the command.
    """
    if getattr(error, "is_noted", False):
        return True
    error.is_noted = True  # type: ignore[attr-defined]  # exceptions take attributes
    if isinstance(error, CodexError):
        told: dict[str, Any] = error.as_dict()
    else:
        told = {"what": f"{type(error).__name__}: {error}"}
    return append(places, "failure", {"command": command, **told, **fields}, now=now)


def rows(places: Places) -> Iterator[dict[str, Any]]:
    """The rows that can be read, oldest first; a torn or foreign line is passed over."""
    try:
        lines = places.journal.read_bytes().splitlines()
    except OSError:
        return
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            yield row

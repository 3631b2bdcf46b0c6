"""What the probe child wrote into its journal, as far as it can be believed.

Decisions: the journal is hostile input. One line per event, numbered, in the order of the job, of one pid, of
bounded size and known shape; lines of other processes (forked by plugins) are dropped; whatever else deviates ends
belief and is held against the plugin under way.
"""

from __future__ import annotations

import json
import os
from typing import Any, NamedTuple

from codex_core.components import EVENT_HOOKS, KINDS, Component

MAX_LINE_BYTES = 8 << 20

Result = dict[str, Any]


class Told(NamedTuple):
    """Results by key, the key under way when belief ended (None: none), whether the child came to its end, and
    whether the journal was spoilt so early that nothing in it can be believed."""

    results: dict[int, Result]
    under_way: int | None
    complete: bool
    spoilt: bool


def read(path: str, task: str, keys: list[int]) -> Told:
    """What a journal tells of the plugins `keys`; nothing in it is taken on trust."""
    results: dict[int, Result] = {}
    pid = under_way = None
    upcoming = iter(keys)
    try:
        with open(path, "rb") as file:
            lines = file.read(MAX_LINE_BYTES * 4).split(b"\n")[:-1]
    except OSError:
        return Told({}, None, False, False)
    for number, line in enumerate(_own_lines(lines)):
        event = line.get("event")
        if number == 0:
            pid = line.get("pid")
        if line.get("n") != number or line.get("pid") != pid or not isinstance(pid, int):
            break
        if event == "end" and under_way is None:
            return Told(results, None, True, False)
        if event == "start" and under_way is None and line.get("key") == next(upcoming, None):
            under_way = line["key"]
        elif event == "done" and line.get("key") == under_way is not None:
            accepted = _accepted(line, task)
            results[under_way] = accepted or failed("bad-report", "its record has not the expected shape", "")
            under_way = None
        elif number or event != "hello":
            break
    else:
        return Told(results, under_way, False, False)
    # Somebody else wrote into the journal: whoever was under way, or came last, is held responsible.
    culprit = under_way if under_way is not None else next(reversed(results), None)
    if culprit is not None:
        results[culprit] = failed(
            "bad-report", "the journal of the probe was written to by somebody else", ""
        )
    return Told(results, None, False, not results)


def _own_lines(lines: list[bytes]) -> list[dict[str, Any]]:
    """The journal's lines as records; forked children of plugins write under their own pid, those are dropped."""
    parsed: list[dict[str, Any]] = []
    for line in lines:
        try:
            values = json.loads(line, parse_constant=str) if len(line) <= MAX_LINE_BYTES else {}
        except (ValueError, RecursionError):
            values = {}
        values = values if isinstance(values, dict) else {}
        if parsed and isinstance(values.get("pid"), int) and values["pid"] != parsed[0].get("pid"):
            continue
        parsed.append(values)
    return parsed


def _accepted(line: dict[str, Any], task: str) -> Result | None:
    """A result of the expected shape, with nothing else in it; None when the line has another shape."""
    try:
        result: Result = {
            "problem": _problem(line["problem"]),
            "memory_mb": _number(line["memory_mb"]),
            "printed_bytes": _number(line["printed_bytes"]),
            **{
                key: _texts(line[key])
                for key in ("heavy", "side_effects", "details", "network", "files", "shared_files")
            },
        }
        if task == "options":
            return {
                **result,
                "fields": [_option(one) for one in line["fields"]],
                "doc": str(line.get("doc", "")),
            }
        return {
            **result,
            "components": [_component(one) for one in line["components"]],
            "events": [name for name in EVENT_HOOKS if name in _texts(line["events"])],
            "import_ms": _number(line["import_ms"]),
            "warnings": _texts(line["warnings"]),
        }
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _component(values: dict[str, Any]) -> dict[str, Any]:
    kind = values.pop("kind")
    if kind not in KINDS:
        raise ValueError(kind)
    component = Component(**values)
    for text in (component.runtime, component.overrides):
        if text is not None and (not isinstance(text, str) or len(text) > 100):
            raise ValueError(text)
    return {"kind": kind, **component.as_dict()}


def _option(values: dict[str, Any]) -> dict[str, Any]:
    names = (
        "name",
        "type",
        "required",
        "default",
        "doc",
        "unit",
        "choices",
        "minimum",
        "maximum",
        "resumable",
    )
    if not isinstance(values["name"], str):
        raise ValueError(values["name"])
    return {name: values[name] for name in names}


def _problem(values: Any) -> dict[str, Any] | None:
    if values is None:
        return None
    shown = {name: values.get(name) for name in ("reason", "error", "where", "missing")}
    if not all(one is None or (isinstance(one, str) and len(one) <= 2000) for one in shown.values()):
        raise ValueError(shown)
    return shown


def _number(value: Any) -> float:
    if type(value) not in (int, float):
        raise ValueError(value)
    return value  # type: ignore[no-any-return]  # just checked


def _texts(values: Any) -> list[str]:
    if not isinstance(values, list) or not all(isinstance(one, str) for one in values):
        raise ValueError(values)
    return values


def failed(reason: str, status: str, said: str) -> Result:
    library = os.path.dirname(os.__file__)
    places = [line.strip() for line in said.splitlines() if line.strip().startswith("File ")]
    where = next((place for place in places if library not in place), places[0] if places else None)
    problem = {"reason": reason, "error": status, "where": where, "missing": None}
    return {
        "problem": problem,
        "components": [],
        "events": [],
        "fields": [],
        "doc": "",
        "import_ms": None,
        "memory_mb": None,
        "heavy": [],
        "side_effects": [],
        "details": [],
        "network": [],
        "printed_bytes": 0,
        "warnings": [],
        "files": [],
        "shared_files": [],
    }

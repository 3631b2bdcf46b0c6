"""A new look at what is installed: metadata is scanned, what is new is probed, rows are resolved and stored.

Decisions: only what changed is probed again; failed plugins are probed again on every miss, timed-out ones when
their files change, after an hour, or when asked; an answer with unprobed plugins expires at once, so that the next
command goes on where this one stopped. This module needs neither click nor attrs.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from codex_core.errors import UsageError
from codex_core.plugins import discovery, index, probe, resolve
from codex_core.plugins.listing import escaped, render
from codex_core.plugins.locate import find_module, is_present
from codex_core.plugins.requirements import Requirement, bringing, install_line
from codex_core.plugins.selection import Selection

Values = dict[str, Any]

#: A timed-out plugin is tried again after this many seconds.
RETRY_S = 3600.0
NEVER = 1e12


def look(
    selection: Selection,
    environ: Mapping[str, str],
    search: list[str],
    wanted: str,
    place: str,
    old: index.Stored | None,
) -> tuple[list[Values], list[Values], bytes, list[str]]:
    """Look at what is installed, ask what is new, store the answer at `place`.

    Returns rows, facts, the rows as rendered, and search-path entries that could not be searched. `wanted` is the
    identity to store under, `old` the last answer for it, from which whatever still holds is taken.
    """
    started_ns = time.time_ns()
    own = [index.describe(path, started_ns) for path in index.own_files()]
    scanned = discovery.scan(search)
    # Described before anything is probed: a change while we look is then seen by the next command.
    inputs = {path: index.describe(path, started_ns) for path in scanned.inputs}
    facts = _complete(scanned.facts, _reusable(old, own), selection, search, probe.Limits.read(environ))
    expires = _expiry(facts)
    for path in sorted({path for fact in facts for path in (*fact["files"], *fact["shared_files"])}):
        inputs.setdefault(path, index.describe(path, time.time_ns()))
    if any(_touched_since(line, started_ns) for line in inputs.values()):
        expires = 0.0
    presence = {name: is_present(name, search) for name in sorted(resolve.needed_modules(facts))}
    rows = resolve.resolve(facts, selection, lambda name: presence.get(name) or is_present(name, search))
    selection.check(
        [(fact["dist"], str(fact["entry_point"])) for fact in facts],
        [row["id"] for row in rows if row["kind"] != "plugin"],
    )
    check_pins(selection, rows)
    rendered = render(rows)
    index.write(
        wanted,
        place,
        inputs=[*own, *inputs.values()],
        presence=presence,
        expires=expires,
        rows=rendered,
        facts=json.dumps(facts).encode("ascii"),
    )
    return rows, facts, rendered, scanned.skipped


def check_pins(selection: Selection, rows: Sequence[Values]) -> None:
    """Raise `UsageError` for a pin whose component or distribution does not exist."""
    for what, dist in selection.pins.items():
        claimants = {row["dist"] for row in rows if f"{row['kind']}/{row['name']}" == what}
        if dist in claimants:
            continue
        known = sorted(claimants or {f"{row['kind']}/{row['name']}" for row in rows})
        near = get_close_matches(dist if claimants else what, known, n=3) or known[:5]
        raise UsageError(
            code="REG-015",
            what=f"the pin {what}: {dist} names nothing that is installed",
            where="plugins.pins",
            why=f"did you mean {' or '.join(near)}?" if near else None,
            fix="codex registry list",
        )


def _complete(
    scanned: list[Values],
    reusable: Callable[[Values], Values],
    selection: Selection,
    search: list[str],
    limits: probe.Limits,
) -> list[Values]:
    """Fill in what only an import tells: from the old answer where it still holds, else from the probe."""
    facts: list[Values] = []
    waiting: list[int] = []
    for fact in scanned:
        fact = selected(fact, selection)
        if fact["problem"] is None:
            fact = reusable(fact)
            if fact["probed_at"] is None:
                waiting.append(len(facts))
        facts.append(fact)
    results = probe.describe_plugins([facts[place]["module"] for place in waiting], search, limits)
    for place, result in zip(waiting, results, strict=True):
        facts[place] = merged(facts[place], result)
    return [{**fact, "absent_targets": absent_targets(fact, search)} for fact in facts]


def selected(fact: Values, selection: Selection) -> Values:
    """A fact, blocked when the user's selection leaves the plugin out."""
    reason = None if fact["problem"] else selection.reason(fact["dist"], fact["entry_point"])
    if reason is None:
        return fact
    hint, fix = resolve.blocked_words(reason, fact["dist"])
    return {**fact, "problem": {"reason": reason, "hint": hint, "fix": fix}}


def _expiry(facts: list[Values]) -> float:
    """When the answer must be looked up again although nothing changed."""
    reasons = {fact["problem"]["reason"]: fact for fact in facts if fact["problem"]}
    if reasons.keys() & {"time-spent", "no-probe"}:
        return 0.0
    timed_out = [fact["probed_at"] for fact in facts if (fact["problem"] or {}).get("reason") == "timed-out"]
    return min(timed_out) + RETRY_S if timed_out else NEVER


def _reusable(old: index.Stored | None, own: list[str]) -> Callable[[Values], Values]:
    """A function that completes a fact from the old answer where the plugin's files are as they were."""
    known: dict[Any, Values] = {}
    changed: set[str] = set()
    if old is not None:
        changed = old.changed()
        if {line.split(" ", 2)[2] for line in own} & changed:
            old = None
    for fact in json.loads(old.facts) if old is not None else ():
        known[_key(fact)] = fact
    if any(path in changed for fact in known.values() for path in fact["shared_files"]):
        known = {}

    def complete(fact: Values) -> Values:
        before = known.get(_key(fact)) if known else None
        if before is None or before["probed_at"] is None or changed & set(before["files"]):
            return fact
        reason = (before["problem"] or {}).get("reason")
        if reason is not None and not (reason == "timed-out" and before["probed_at"] + RETRY_S > time.time()):
            return fact
        probed = (
            "problem",
            "components",
            "events",
            "import_ms",
            "memory_mb",
            "heavy",
            "files",
            "shared_files",
        )
        return {
            **fact,
            "probed_at": before["probed_at"],
            "notes": before["notes"],
            **{key: before[key] for key in probed},
        }

    return complete


def _key(fact: Values) -> tuple[Any, ...]:
    names = ("dist", "version", "entry_point", "module", "origin", "location", "metadata_path", "api")
    return tuple(json.dumps(fact[name]) for name in names)


def merged(fact: Values, result: Values) -> Values:
    """A fact with what the probe found out, in words for users."""
    found = result["problem"]
    merged = {
        **fact,
        "probed_at": time.time(),
        "problem": _worded(found, fact) if found else None,
        "components": result["components"],
        "events": result["events"],
        "import_ms": result["import_ms"],
        "memory_mb": result["memory_mb"],
        "heavy": result["heavy"],
        "files": result["files"] or ([fact["origin"]] if fact["origin"] else []),
        "shared_files": result["shared_files"],
    }
    return {**merged, "notes": [*fact["notes"], *_remarks(result)]}


def absent_targets(fact: Values, search: list[str]) -> list[str]:
    """Modules of targets that are nowhere on the path."""
    modules = {component["target"].partition(":")[0] for component in fact["components"]}
    return sorted(
        name for name in modules if not _is_beside(name, fact) and find_module(name, search) is None
    )


def _is_beside(name: str, fact: Values) -> bool:
    """Whether a module is a file next to the plugin module: where that was found, this need not be searched for."""
    package, _, leaf = name.rpartition(".")
    folder, file = os.path.split(fact["origin"] or "")
    if not package or package != fact["module"].rpartition(".")[0] or file == "__init__.py":
        return False
    return os.path.isfile(os.path.join(folder, f"{leaf}.py"))


def _remarks(result: Values) -> list[str]:
    remarks = []
    if result["heavy"]:
        remarks.append(f"heavy-import: {', '.join(result['heavy'])}")
    if result["printed_bytes"]:
        remarks.append(f"prints: {result['printed_bytes']} bytes")
    remarks += [f"warns: {text}" for text in result["warnings"]]
    if result["side_effects"]:
        remarks.append(f"side-effects: {', '.join(result['side_effects'])}")
    remarks += [f"network: {text}" for text in result["network"]]
    return remarks


def _worded(found: Values, fact: Values) -> dict[str, str]:
    """What went wrong in the child as reason, hint and fix of a row."""
    reason, module, dist = found["reason"], fact["module"], fact["dist"]
    where = f" at {found['where']}" if found["where"] else ""
    hint = escaped(f"{found['error']}{where}")
    missing = found["missing"]
    if missing is not None:
        requirements = [Requirement(*one) for one in fact["requirements"]]
        if f"{module}.".startswith(f"{missing}."):
            reason = "module-not-found"
        elif bringing(missing, requirements) is not None:
            source = fact["location"] if fact["editable"] else None
            fix = install_line(dist, missing=[missing], requirements=requirements, source=source)
            return {"reason": "missing-requirement", "hint": f"{module} needs {missing}: {hint}", "fix": fix}
    fixes = {
        "time-spent": "codex registry list",
        "no-probe": "codex registry list --refresh",
        "unknown-hook": "pip install --upgrade codex-core",
        "timed-out": f"CODEX_PROBE_LIMIT_S=30 codex registry list --refresh, or CODEX_PLUGINS_OFF={dist}",
    }
    return {"reason": reason, "hint": hint, "fix": fixes.get(reason, f"python -c 'import {module}'")}


def _touched_since(line: str, started_ns: int) -> bool:
    """Whether a file was touched while it was being looked at, so that the answer may be older than the file."""
    mark = line.partition(" ")[0]
    now_ns = time.time_ns()
    return mark != index.ABSENT and any(started_ns <= int(part) <= now_ns for part in mark.split(".")[:2])

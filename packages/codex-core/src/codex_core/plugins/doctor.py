"""What each plugin does to a process when it is imported: one child per plugin, one verdict per plugin.

Decisions: metadata is read anew and the index is neither believed nor written; no child is shared, so that what is
told of a plugin is its own doing; at most two children run at a time, each with its own time limit, so that one that
hangs delays nobody for long; the verdict is the row state that the plugin would have, with `remarks` for one that
works but should not behave so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from difflib import get_close_matches
from typing import Any, NamedTuple

from codex_core.errors import UsageError
from codex_core.plugins import discovery, probe, probe_journal, resolve, survey
from codex_core.plugins.listing import escaped
from codex_core.plugins.locate import is_present
from codex_core.plugins.selection import Selection, normalised

#: What importing a plugin module may cost: a description, not a library. Our own eight take 0.5 to 21 ms and at most
#: 0.1 MiB (`codex registry doctor`, 2 busy cores).
BUDGET_MS = 200.0
BUDGET_MB = 32.0
WORKERS = 2

Values = dict[str, Any]

#: What an author does about a remark.
_CURES = {
    "heavy-import": "import it in the module of the target, not in {module}",
    "slow-import": "python -X importtime -c 'import {module}'",
    "memory": "python -X importtime -c 'import {module}'",
    "prints": "remove the output, or log it where the component works",
    "warns": "python -W error -c 'import {module}'",
    "side-effects": "do it in the module of the target, when the component is used",
    "network": "connect in the module of the target, when the component is used",
    "api-not-declared": "in {module}: CODEX_API = (1, 0)",
}


class Exam(NamedTuple):
    """One plugin examined: who it is, the verdict with reason and fix, what was measured, what it did.

    `exit` says how the child ended (None: it was not started), `remarks` are (code, text, fix).
    """

    plugin: str
    dist: str
    version: str | None
    module: str | None
    verdict: str
    reason: str | None
    hint: str | None
    fix: str | None
    components: tuple[str, ...]
    exit: str | None
    import_ms: float | None
    memory_mb: float | None
    heavy: tuple[str, ...]
    printed_bytes: int
    printed: str
    warnings: tuple[str, ...]
    side_effects: tuple[str, ...]
    network: tuple[str, ...]
    remarks: tuple[tuple[str, str, str], ...]

    @property
    def is_well(self) -> bool:
        """Whether the plugin works and leaves nothing behind."""
        return self.verdict == "ok"


def examine(
    names: Sequence[str],
    *,
    selection: Selection,
    search: Sequence[str],
    limits: probe.Limits,
    on_exam: Callable[[Exam], None] = lambda exam: None,
) -> list[Exam]:
    """Examine every installed plugin, or those called `names` (distribution, entry point, or both).

    `on_exam` hears of each one as soon as it is examined. Raises `UsageError` for a name that nobody has.
    """
    places = list(search)
    facts = _chosen(discovery.scan(places).facts, names)
    facts = [survey.selected(fact, selection) for fact in facts]

    def one(fact: Values) -> Exam:
        exam = _examined(fact, selection, places, limits)
        on_exam(exam)
        return exam

    with ThreadPoolExecutor(max_workers=WORKERS) as pool:
        return list(pool.map(one, facts))


def _chosen(facts: list[Values], names: Sequence[str]) -> list[Values]:
    """The facts that names stand for, all without names."""
    if not names:
        return facts
    answers = {
        (fact["dist"], fact["entry_point"]): (
            fact["dist"],
            fact["entry_point"],
            f"{fact['dist']}/{fact['entry_point']}",
        )
        for fact in facts
    }
    known = {answer for several in answers.values() for answer in several if answer}
    spelt = {name: name if name in known else normalised(name) for name in names}
    for name, looked_for in spelt.items():
        if looked_for not in known:
            near = get_close_matches(looked_for, sorted(known), n=3)
            raise UsageError(
                code="REG-001",
                what=f"no installed plugin is called {name!r}",
                why=f"did you mean {' or '.join(near)}?" if near else None,
                fix="codex registry list",
            )
    wanted = set(spelt.values())
    return [fact for fact in facts if wanted & set(answers[fact["dist"], fact["entry_point"]])]


def _examined(fact: Values, selection: Selection, search: list[str], limits: probe.Limits) -> Exam:
    if fact["problem"] is not None:
        return _exam(fact, selection, search, None)
    told = probe.examine(fact["module"], search, limits)
    fact = survey.merged(fact, told.result)
    return _exam({**fact, "absent_targets": survey.absent_targets(fact, search)}, selection, search, told)


def _exam(fact: Values, selection: Selection, search: list[str], told: probe.Examined | None) -> Exam:
    rows = resolve.resolve([fact], selection, lambda name: is_present(name, search))
    ill = next((row for row in rows if row["state"] != "ok"), None)
    result: Values = told.result if told is not None else probe_journal.failed("no-probe", "", "")
    remarks = _remarks(fact, result)
    row = ill or {"state": "remarks" if remarks else "ok", "reason": None, "hint": None, "fix": None}
    if ill is None and remarks:
        row |= dict(zip(("reason", "hint", "fix"), remarks[0], strict=True))
    return Exam(
        plugin=f"{fact['dist']}/{fact['entry_point']}" if fact["entry_point"] else fact["dist"],
        dist=fact["dist"],
        version=fact["version"],
        module=fact["module"],
        verdict=row["state"],
        reason=row["reason"],
        hint=row["hint"],
        fix=row["fix"],
        components=tuple(f"{one['kind']}/{one['name']}" for one in fact["components"]),
        exit=None if told is None else _ending(told.exit),
        import_ms=result["import_ms"],
        memory_mb=result["memory_mb"],
        heavy=tuple(result["heavy"]),
        printed_bytes=int(result["printed_bytes"]),
        printed=escaped(told.printed[:500].rstrip()) if told is not None and result["printed_bytes"] else "",
        warnings=tuple(result["warnings"]),
        side_effects=tuple(map(escaped, result["details"])) or tuple(result["side_effects"]),
        network=tuple(result["network"]),
        remarks=remarks,
    )


def _ending(status: str) -> str:
    """How a child ended, short enough for a column."""
    return status.removeprefix("the process ended with ").removeprefix("the process was ")


def _remarks(fact: Values, result: Values) -> tuple[tuple[str, str, str], ...]:
    """Everything that a plugin which works does besides describing."""
    found = [tuple(note.split(": ", 1)) for note in fact["notes"]]
    if (result["import_ms"] or 0) > BUDGET_MS:
        found.append(("slow-import", f"{result['import_ms']:.0f} ms, allowed are {BUDGET_MS:.0f}"))
    if (result["memory_mb"] or 0) > BUDGET_MB:
        found.append(("memory", f"{result['memory_mb']:.0f} MiB, allowed are {BUDGET_MB:.0f}"))
    shown = [(code, *text) for code, *text in found if code in _CURES]
    if result["details"]:
        shown = [
            (code, "; ".join(result["details"]) if code == "side-effects" else text) for code, text in shown
        ]
    return tuple((code, escaped(text), _CURES[code].format(module=fact["module"])) for code, text in shown)

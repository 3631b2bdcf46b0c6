"""Write a configuration out of what is installed, and say why each part was chosen.

Rules, in this order: usable components only; model and trainer share a runtime; built-in before third-party;
the preferred names below; then the name. A rule that chose says so in a comment, and so does what would have been
chosen if something more were installed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from codex_core import __version__
from codex_core.errors import MissingDependency
from codex_core.plugins import known
from codex_core.plugins.known import KnownComponent
from codex_core.registry import Registry, Row

GOALS = ("pretrain",)

#: Preferred names by kind, best first, with the reason that the comment gives.
PREFERRED = {
    "models": {"decoder": "learns from the whole context", "ngram": "counts, needs nothing but the core"},
    "tokenizers": {"bpe": "fewer and longer tokens than bytes", "bytes": "lossless, nothing to learn"},
    "datasets": {"pydoc": "text that every Python brings along"},
    "metrics": {"bits_per_byte": "comparable between tokenizers, and with compressors"},
    "safety_policies": {"secrets": "keeps keys and passwords out of training"},
    "writers": {"tensorboard": "curves in TensorBoard, beside metrics.csv and metrics.ndjson"},
}

#: Settings that a first run should show rather than leave to a default, by runtime.
_TRAINING: dict[str, Any] = {
    "ngram": {"trainer": {"duration": "1 epoch", "batch_rows": 64}, "every": "1 epoch"},
    "torch": {"trainer": {"duration": "1000 steps", "batch_rows": 16}, "every": "250 steps"},
}


class Chosen(NamedTuple):
    """A component that was chosen, why, and what would be chosen instead if it were usable."""

    row: Row
    why: str
    otherwise: tuple[str, ...]


def compose(registry: Registry, *, goal: str) -> str:
    """A commented configuration that validates and trains here; raises `MissingDependency` when nothing can.

    `goal` is one of `GOALS`.
    """
    assert goal in GOALS
    model, trainer = _pair(registry)
    parts = {
        "sources": _choose(registry, "datasets"),
        "tokenizer": _choose(registry, "tokenizers"),
        "model": model,
        "trainer": trainer,
        "metrics": _choose(registry, "metrics"),
    }
    rows = [part.row for part in parts.values()]
    fields = dict(zip(parts, registry.describe_options(rows), strict=True))
    settings = _TRAINING.get(str(model.row.runtime), {"trainer": {}, "every": "1 epoch"})
    lines = [*_heading(registry, goal), "schema: codex-run/1", "", "run:", f"  name: {goal}", "", "data:"]
    lines += ["  sources:", *_component(parts["sources"], fields["sources"], first="    - ", rest="      ")]
    for section in ("tokenizer", "model", "trainer"):
        given = settings["trainer"] if section == "trainer" else {}
        lines += ["", f"{section}:", *_component(parts[section], fields[section], given=given)]
    lines += ["", "evaluation:", f"  every: {settings['every']}", "  metrics:"]
    lines += _component(parts["metrics"], fields["metrics"], first="    - ", rest="      ")
    lines += ["", "checkpoint:", f"  every: {settings['every']}"]
    lines += ["", *_writers(registry), "", *_safety(registry)]
    return "\n".join(lines) + "\n"


def pairs(registry: Registry) -> list[tuple[Row, Row]]:
    """Usable models with the usable trainers of the same runtime, best first."""
    usable = [
        (model, trainer)
        for model in _usable(registry, "models")
        for trainer in _usable(registry, "trainers")
        if model.runtime == trainer.runtime
    ]
    return sorted(usable, key=lambda pair: (_rank(pair[0]), not pair[1].built_in, pair[1].name))


def _pair(registry: Registry) -> tuple[Chosen, Chosen]:
    found = pairs(registry)
    if not found:
        raise _nothing(registry, "models", "model with a trainer of its runtime")
    model, trainer = found[0]
    why = f"{_why(model)}; runtime {model.runtime}"
    shared = (
        f"the trainer of runtime {model.runtime}" if trainer.built_in else f"trains runtime {model.runtime}"
    )
    others = [f"{one.name} with {other.name}" for one, other in found[1:]]
    if others:
        why += f"; other pairs that fit: {', '.join(others)}"
    return Chosen(model, why, _better(registry, model)), Chosen(trainer, shared, ())


def _choose(registry: Registry, kind: str) -> Chosen:
    rows = _usable(registry, kind)
    if not rows:
        raise _nothing(registry, kind, kind)
    return Chosen(rows[0], _why(rows[0]), _better(registry, rows[0]))


def _usable(registry: Registry, kind: str) -> list[Row]:
    """Usable rows of a kind, best first."""
    return sorted((row for row in registry.of_kind(kind) if row.state == "ok"), key=_rank)


def _rank(row: Row) -> tuple[bool, int, str]:
    preferred = list(PREFERRED.get(row.kind, ()))
    place = preferred.index(row.name) if row.name in preferred else len(preferred)
    return not row.built_in, place, row.id


def _why(row: Row) -> str:
    reason = PREFERRED.get(row.kind, {}).get(row.name) if row.built_in else None
    return f"{'built in' if row.built_in else f'from {row.dist}'}{f', {reason}' if reason else ''}"


def _better(registry: Registry, row: Row) -> tuple[str, ...]:
    """What the rules would prefer to `row` if it were usable, each with the command that makes it so."""
    preferred = list(PREFERRED.get(row.kind, ()))
    before = preferred[: preferred.index(row.name)] if row.name in preferred and row.built_in else preferred
    offers = [known.find(row.kind, name) for name in before]
    return tuple(_if_usable(registry, offered) for offered in offers if offered is not None)


def _if_usable(registry: Registry, offered: KnownComponent) -> str:
    """What a known component that cannot be used here would change, and how to make it usable."""
    held_up = [row for row in registry.rows if row.dist == offered.distribution and row.state != "ok"]
    fix = next((row.fix for row in held_up if row.name in (offered.name, row.entry_point)), None)
    return f"This would be {offered.name} if it were usable: {fix or offered.install_line}."


def _component(
    chosen: Chosen,
    described: dict[str, Any],
    *,
    given: dict[str, Any] | None = None,
    first: str = "  ",
    rest: str = "  ",
) -> list[str]:
    """The lines of one component: why, its name, what is set, and every other option as a comment."""
    given = given or {}
    indent = first.replace("-", " ").removesuffix("  ") if "-" in first else first
    lines = [f"{indent}# {chosen.row.name}: {chosen.why}.", *(f"{indent}# {one}" for one in chosen.otherwise)]
    lines.append(f"{first}name: {chosen.row.id}")
    for field in described["fields"]:
        name, note = field["name"], f"  # {field['doc']}" if field["doc"] else ""
        if name in given:
            lines.append(f"{rest}{name}: {given[name]}{note}")
        else:
            lines.append(f"{rest}# {name}: {_yaml(field['default'])}{note}")
    return lines


def _writers(registry: Registry) -> list[str]:
    wanted = [
        row for row in _usable(registry, "writers") if row.built_in and row.name in PREFERRED["writers"]
    ]
    if wanted:
        named = [line for row in wanted for line in (f"  # {row.name}: {_why(row)}.", f"  - name: {row.id}")]
        return ["writers:", *named]
    absent = [one for name in PREFERRED["writers"] if (one := known.find("writers", name)) is not None]
    hints = [f"# {_if_usable(registry, one)}" for one in absent]
    return ["# metrics.csv and metrics.ndjson are written in any case.", *hints, "writers: []"]


def _safety(registry: Registry) -> list[str]:
    rows = _usable(registry, "safety_policies")
    if rows:
        return ["safety:", f"  # {rows[0].name}: {_why(rows[0])}.", f"  name: {rows[0].id}"]
    offered = known.find("safety_policies", "secrets")
    hints = [f"# {_if_usable(registry, offered)}"] if offered else []
    return [
        "# No safety policy is usable here.",
        *hints,
        "safety:",
        "  name: none",
        "  reason: no safety policy is installed",
    ]


def _heading(registry: Registry, goal: str) -> list[str]:
    dists = sorted(
        {f"{row.dist} {row.version or '(no version)'}" for row in registry.rows if row.state == "ok"}
    )
    return [
        f"# Composed by `codex registry compose --goal {goal}` (codex-core {__version__}) from what is installed:",
        f"# {', '.join(dists)}.",
        "# Commented options show their defaults. Next: `codex plan FILE`, then `codex train FILE`.",
    ]


def _nothing(registry: Registry, kind: str, what: str) -> MissingDependency:
    fixes = [row.fix for row in registry.of_kind(kind) if row.fix]
    fixes += [one.install_line for one in known.components() if one.kind == kind]
    return MissingDependency(
        code="REG-007",
        what=f"nothing usable is installed for: {what}",
        why="a configuration is composed of usable components only",
        fix=fixes[0] if fixes else "codex registry list --all",
    )


def _yaml(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(map(_yaml, value))}]"
    return str(value)

"""Write a configuration out of what is installed, and say why each part was chosen.

Rules, in this order: usable components only; model and trainer share a runtime, and the trainer declares what the
goal asks of it; built-in before third-party; the preferred names below; then the name. A rule that chose says so in
a comment, and so does what would have been chosen if something more were installed.

Decision: every goal gives a configuration that trains, since a run is what metrics, locks and reports belong to.
`evaluate` lists every metric that needs nothing said, and names the command that scores a checkpoint of before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from codex_core import __version__
from codex_core.errors import MissingDependency
from codex_core.plugins import known
from codex_core.plugins.known import KnownComponent
from codex_core.registry import Registry, Row

#: What a configuration is composed for -> the capability that the goal asks of a trainer; None: nothing special.
GOALS: dict[str, str | None] = {
    "pretrain": None,
    "finetune": "finetune",
    "lora": "lora",
    "evaluate": None,
}

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

#: The same for goals that begin from a model that exists: a few passes over rows of one's own, gently.
_TUNING: dict[str, Any] = {
    "trainer": {"duration": "3 epochs", "batch_rows": 8, "lr": "1e-4", "warmup": "0.1 epochs"},
    "every": "1 epoch",
    "tokenizer": {"path": "null"},
    "model": {"weights": "..."},
    "sources": {"form": "prompt_completion"},
}

#: What adapters are, beside that: they stand beside weights that exist, and learn faster than those would.
_ADAPTING: dict[str, Any] = {
    "trainer": {**_TUNING["trainer"], "lr": "1e-3"},
    "model": {"weights": "...", "lora": "{r: 8, alpha: 16}"},
}

#: The dataset of these goals: rows that say what is asked and what is to be learned.
_TUNING_DATASET = ("jsonl", "rows with the fields prompt and completion, of which completions are learned")

_PAIR = "model with a trainer of its runtime"


class Chosen(NamedTuple):
    """A component that was chosen, why, and what would be chosen instead if it were usable."""

    row: Row
    why: str
    otherwise: tuple[str, ...]


def compose(registry: Registry, *, goal: str) -> str:
    """A commented configuration that validates and trains here; raises `MissingDependency` when nothing can.

    `goal` is one of `GOALS`.
    """
    model, trainer = _pair(registry, goal)
    parts = {
        "sources": _tuning_rows(registry) if GOALS[goal] else _choose(registry, "datasets"),
        "tokenizer": _choose(registry, "tokenizers"),
        "model": model,
        "trainer": trainer,
    }
    parts |= {f"metrics.{one.row.id}": one for one in _metrics(registry, goal)}
    rows = [part.row for part in parts.values()]
    fields = dict(zip(parts, registry.describe_options(rows), strict=True))
    metrics = _listed({name: fields[name] for name in parts if name.startswith("metrics.")})
    settings = _TRAINING.get(str(model.row.runtime), {"trainer": {}, "every": "1 epoch"})
    if GOALS[goal]:
        settings = _TUNING | (_ADAPTING if goal == "lora" else {})
    lines = _heading(registry, goal, [parts[name].row for name in metrics])
    lines += ["schema: codex-run/1", "", "run:", f"  name: {goal}", "", "data:"]
    given = settings.get("sources", {})
    lines += [
        "  sources:",
        *_component(parts["sources"], fields["sources"], given=given, first="    - ", rest="      "),
    ]
    for section in ("tokenizer", "model", "trainer"):
        given = settings.get(section, {})
        lines += ["", f"{section}:", *_component(parts[section], fields[section], given=given)]
    lines += ["", "evaluation:", f"  every: {settings['every']}", "  metrics:"]
    for name in metrics:
        lines += _component(parts[name], fields[name], first="    - ", rest="      ")
    lines += ["", "checkpoint:", f"  every: {settings['every']}"]
    lines += ["", *_writers(registry), "", *_safety(registry)]
    return "\n".join(lines) + "\n"


def pairs(registry: Registry, goal: str = "pretrain") -> list[tuple[Row, Row]]:
    """Usable models with the usable trainers of the same runtime that can do what the goal asks, best first."""
    asked = GOALS[goal]
    usable = [
        (model, trainer)
        for model in _usable(registry, "models")
        for trainer in _usable(registry, "trainers")
        if model.runtime == trainer.runtime and (asked is None or asked in trainer.capabilities)
    ]
    return sorted(usable, key=lambda pair: (_rank(pair[0]), not pair[1].built_in, pair[1].name))


def _pair(registry: Registry, goal: str) -> tuple[Chosen, Chosen]:
    found = pairs(registry, goal)
    if not found:
        asked = GOALS[goal]
        raise _no_trainer(registry, goal, asked) if asked else _nothing(registry, "models", _PAIR)
    model, trainer = found[0]
    why = f"{_why(model)}; runtime {model.runtime}"
    shared = (
        f"the trainer of runtime {model.runtime}" if trainer.built_in else f"trains runtime {model.runtime}"
    )
    if GOALS[goal]:
        shared += f", and declares {GOALS[goal]}"
    others = [f"{one.name} with {other.name}" for one, other in found[1:]]
    if others:
        why += f"; other pairs that fit: {', '.join(others)}"
    return Chosen(model, why, _better(registry, model)), Chosen(trainer, shared, ())


def _choose(registry: Registry, kind: str) -> Chosen:
    rows = _usable(registry, kind)
    if not rows:
        raise _nothing(registry, kind, kind)
    return Chosen(rows[0], _why(rows[0]), _better(registry, rows[0]))


def _tuning_rows(registry: Registry) -> Chosen:
    """The dataset whose rows tell a prompt from what is to be learned; without it, the usual choice."""
    name, why = _TUNING_DATASET
    found = [row for row in _usable(registry, "datasets") if row.built_in and row.name == name]
    return Chosen(found[0], f"built in, {why}", ()) if found else _choose(registry, "datasets")


def _metrics(registry: Registry, goal: str) -> list[Chosen]:
    """The preferred metric; for `evaluate` the other built-in ones too."""
    chosen = _choose(registry, "metrics")
    if goal != "evaluate":
        return [chosen]
    others = [row for row in _usable(registry, "metrics") if row.built_in and row.id != chosen.row.id]
    return [chosen, *(Chosen(row, _why(row), ()) for row in others)]


def _listed(described: dict[str, dict[str, Any]]) -> list[str]:
    """The metrics that can be listed without asking the user for anything; the first one in any case."""
    first, *others = described
    return [
        first,
        *(name for name in others if not any(field["required"] for field in described[name]["fields"])),
    ]


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
        elif field["required"]:
            lines.append(f"{rest}{name}: {example(field)}{note or '  #'} (required: yours to fill in)")
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


def _heading(registry: Registry, goal: str, metrics: Sequence[Row]) -> list[str]:
    dists = sorted(
        {f"{row.dist} {row.version or '(no version)'}" for row in registry.rows if row.state == "ok"}
    )
    lines = [
        f"# Composed by `codex registry compose --goal {goal}` (codex-core {__version__}) from what is installed:",
        f"# {', '.join(dists)}.",
        "# Commented options show their defaults. Next: `codex plan FILE`, then `codex train FILE`.",
    ]
    if GOALS[goal]:
        lines.append(
            "# Fill in where your rows are, the tokenizer's folder, and `weights`: the model that training begins from."
        )
    if goal == "evaluate":
        names = " ".join(f"--metric {row.name}" for row in metrics)
        lines += [
            "# A checkpoint that exists already needs no configuration; the same metrics on another split:",
            f"#   codex evaluate --checkpoint REF --split test {names}",
        ]
    return lines


def _nothing(registry: Registry, kind: str, what: str) -> MissingDependency:
    fixes = [row.fix for row in registry.of_kind(kind) if row.fix]
    fixes += [one.install_line for one in known.components() if one.kind == kind]
    return MissingDependency(
        code="REG-007",
        what=f"nothing usable is installed for: {what}",
        why="a configuration is composed of usable components only",
        fix=fixes[0] if fixes else "codex registry list --all",
    )


def _no_trainer(registry: Registry, goal: str, capability: str) -> MissingDependency:
    """Nothing here can do what the goal asks: what would have to be installed, as far as anybody knows."""
    trainers = registry.of_kind("trainers")
    held_up = [row for row in trainers if capability in row.capabilities and row.fix]
    offers = [one for one in known.components() if one.kind == "trainers" and capability in one.capabilities]
    there = ", ".join(row.id for row in trainers if row.state == "ok") or "none"
    why = f"it takes a trainer that declares the capability {capability!r}, with a model of its runtime; "
    why += f"usable trainers are {there}, and none of them does"
    if held_up:
        why += f"; {held_up[0].id} does, and is {held_up[0].state}: {held_up[0].hint}"
    elif not offers:
        why += "; this core knows of no distribution that offers one"
    fixes = [str(row.fix) for row in held_up] + [one.install_line for one in offers]
    return MissingDependency(
        code="REG-007",
        what=f"nothing that is installed can do the goal {goal!r}",
        why=why,
        fix=fixes[0] if fixes else "codex registry list trainers --all",
    )


def example(field: dict[str, Any]) -> str:
    """A value that an option takes, for an option that has none by default."""
    if field["choices"]:
        return str(field["choices"][0])
    if field["minimum"] is not None:
        return str(field["minimum"])
    kind = str(field["type"])
    return "1000 steps" if "Duration" in kind else "1" if kind in ("int", "float") else "..."


def _yaml(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(map(_yaml, value))}]"
    return str(value)

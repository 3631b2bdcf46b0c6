"""Plans and locks as text for people: what was asked, what was derived, and from what.

Decision: one fact per line, labels in one column, so that two texts can be compared by eye and by `diff`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from codex_core.lock import Choice, Lock, Plan
from codex_core.objective import objective_of, supervised_share
from codex_core.planning.sections import NO_SAFETY, SPLITS

_LABEL_WIDTH = 22


def describe_plan(plan: Plan) -> str:
    """A plan as readable lines, each value that was not written marked with where it came from."""
    return "\n".join([*_plan_head(plan), *_components(plan), *_plan_durations(plan)])


def describe_lock(lock: Lock) -> str:
    """A lock as readable lines: what was derived stands beside what it was derived from."""
    train = lock.data["splits"]["train"]
    lines = [
        _line(
            "run",
            f"{lock.name}, seed {lock.seed}, exactness {lock.exactness}, {_count(lock.threads, 'thread')}",
        ),
        _line("configuration", lock.config_hash),
        *(_line(section, _locked(held)) for section, held in lock.components.items()),
        *(_line(f"split {name}", _split(lock.data["splits"][name])) for name in SPLITS),
        _line("prepared data", lock.data["fingerprint"]),
        _line("vocabulary", f"{lock.vocab_size:,} ids, {lock.data['tokenizer']}"),
        _line("batch", _batch(lock.batch_rows, lock.seq_len)),
        _line(
            "training",
            f"{_count(lock.steps, 'step')} = {lock.tokens:,} tokens = {lock.epochs:.3g} epochs of "
            f"{_count(train['rows'], 'row')}",
        ),
        *_learned(lock),
        *(
            _line(name, _cadence(name, steps))
            for name, steps in lock.durations.items()
            if name != "trainer.duration"
        ),
        *_sizes(lock),
        *(_line("note", note) for note in lock.notes),
    ]
    if lock.estimated:
        lines.append(_line("estimated", f"{', '.join(lock.estimated)}: sampled, not counted"))
    return "\n".join(lines)


def _plan_head(plan: Plan) -> Iterator[str]:
    data = plan.config["data"]
    yield _line("run", plan.name, _source(plan, "run.name"))
    yield _line("configuration", plan.config_hash)
    yield _line("seed", str(plan.seed), _source(plan, "run.seed"))
    yield _line("exactness", plan.exactness, _source(plan, "run.exactness"))
    given = plan.config["run"]["threads"] is not None
    yield _line(
        "threads", str(plan.threads), _source(plan, "run.threads") if given else "processors of this process"
    )
    shares = ", ".join(f"{share:g}" for share in data["split"])
    yield _line("splits", f"{shares} of train, validation and test", _source(plan, "data.split"))
    yield _line("rows", f"{plan.seq_len} tokens, packing {data['packing']}", _source(plan, "data.seq_len"))
    duplicates = "dropped" if data["dedup"] == "exact" else "kept"
    yield _line("exact duplicates", duplicates, _source(plan, "data.dedup"))


def _components(plan: Plan) -> Iterator[str]:
    for section, choice in plan.choices.items():
        if choice.id == NO_SAFETY:
            yield _line(section, _off(choice.options), _source(plan, f"{section}.name"))
            continue
        yield _line(section, _chosen(choice), _source(plan, f"{section}.name"))
        for name, value in choice.options.items():
            yield _line(f"  {name}", _shown(value), _source(plan, f"{section}.{name}"))
        if choice.state != "ok":
            yield from (_line("  why", choice.problem) for _ in (1,) if choice.problem)
            yield from (_line("  fix", choice.fix) for _ in (1,) if choice.fix)


def _plan_durations(plan: Plan) -> Iterator[str]:
    if plan.batch_rows is not None:
        yield _line("batch", _batch(plan.batch_rows, plan.seq_len), _source(plan, "trainer.batch_rows"))
    for name, duration in plan.durations.items():
        if not name.startswith("trainer."):
            yield _line(name, "never" if duration.amount == 0 else str(duration), _source(plan, name))
    if plan.duration is None:
        yield _line("training", "length unknown: the trainer is not at hand")


def _chosen(choice: Choice) -> str:
    version = f" {choice.version}" if choice.version else ""
    state = "" if choice.state == "ok" else f": {choice.state.replace('-', ' ')}"
    return f"{choice.id or choice.name}{version}{state}"


def _locked(held: Mapping[str, Any]) -> str:
    if held["id"] == NO_SAFETY:
        return _off(held["options"])
    options = ", ".join(f"{name}={_shown(value)}" for name, value in held["options"].items())
    return f"{held['id']} {held['version'] or ''}".rstrip() + (f" ({options})" if options else "")


def _off(options: Mapping[str, Any]) -> str:
    """Why safety is off: the configuration's reason, and the one from the command line where it was needed."""
    bypass = options.get("bypass_reason")
    return f"off: {options.get('reason', '')}{f' (bypassed: {bypass})' if bypass else ''}"


def _split(held: Mapping[str, int]) -> str:
    names = ("documents", "bytes", "tokens", "supervised", "rows")
    return ", ".join(f"{held[name]:,} {name}" for name in names if name in held)


def _learned(lock: Lock) -> Iterator[str]:
    """What the loss is a mean over."""
    share = supervised_share(lock)
    if share is not None:
        yield _line("objective", f"{objective_of(lock)}: {share:.1%} of targets are supervised")


def _sizes(lock: Lock) -> Iterator[str]:
    if lock.memory is None:
        yield _line("memory", "unknown")
    else:
        parts = ", ".join(f"{name} {_bytes(size)}" for name, size in lock.as_dict()["memory"].items() if size)
        yield _line("memory", f"{_bytes(lock.memory.total)} ({parts})")
    yield _line("disk for checkpoints", "unknown" if lock.disk_bytes is None else _bytes(lock.disk_bytes))


def _cadence(name: str, steps: int) -> str:
    if name.endswith("every"):
        return f"every {_count(steps, 'step')}" if steps else "never"
    return _count(steps, "step")


def _batch(rows: int, seq_len: int) -> str:
    return f"{_count(rows, 'row')} of {seq_len} tokens = {rows * seq_len:,} tokens a step"


def _source(plan: Plan, path: str) -> str:
    return plan.origins.get(path, "default")


def _line(label: str, value: str | None, source: str = "") -> str:
    shown = f"{label:<{_LABEL_WIDTH}} {value}"
    return f"{shown:<72} {source}" if source else shown


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _bytes(size: int) -> str:
    """A size with three digits.

    >>> _bytes(812_331)
    '812 kB'
    """
    value, unit = float(size), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:.3g} {unit}"


def _shown(value: Any) -> str:
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)

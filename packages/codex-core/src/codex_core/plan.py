"""From a configuration to what will be done: names resolved, options filled in, seeds derived, durations kept.

Decisions: a component that is known but not usable here is part of the plan and says what is in the way, so that
a plan can be shown in full on any machine; who wants to train asks `require_usable`. Nothing here reads data or
imports a heavy library. Safety is decided here: switched off only when no policy is installed or with a reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from codex_core.config import RunConfig, resolved_with
from codex_core.duration import Duration
from codex_core.errors import CodexError, ConfigError, MissingDependency, PolicyError, UsageError
from codex_core.lock import Choice, Plan
from codex_core.planning.choices import Resolved
from codex_core.planning.plan_text import describe_lock, describe_plan
from codex_core.planning.sections import NO_SAFETY
from codex_core.planning.settle import settle
from codex_core.planning.structuring import together
from codex_core.running.processors import num_cpus
from codex_core.seeds import seed_for

if TYPE_CHECKING:
    from codex_core.registry import Registry

__all__ = ["describe_lock", "describe_plan", "make", "require_usable", "settle"]

#: What a run uses chance for; each has a seed of its own.
SEED_PURPOSES = ("model.init", "data.order", "tokenizer", "dropout", "sampling")


def make(
    config: RunConfig,
    registry: Registry,
    *,
    bypass_reason: str | None = None,
    cpus: int | None = None,
    environ: Mapping[str, str] | None = None,
) -> Plan:
    """The plan of a configuration.

    `bypass_reason` is the user's word for training without an installed policy, `cpus` the processors to use when
    the configuration does not say (default: those of this process), `environ` the variables that paths may refer
    to. Raises `ConfigError`, `UnknownComponent` or
    `PolicyError`, all mistakes together.
    """
    config = resolved_with(config, registry)
    errors = [*_runtime_errors(config, registry), *_safety_errors(config, registry, bypass_reason)]
    if errors:
        raise together(errors)
    trainer = config.found["trainer"].typed
    return Plan(
        config=config.as_dict(),
        config_hash=config.hash(),
        name=config.run.name,
        seed=config.run.seed,
        exactness=config.run.exactness,
        threads=config.run.threads or cpus or num_cpus(),
        choices={section: _choice(found, bypass_reason) for section, found in config.found.items()},
        seeds=_seeds(config),
        seq_len=config.data.seq_len,
        batch_rows=getattr(trainer, "batch_rows", None),
        duration=getattr(trainer, "duration", None),
        durations=dict(_durations(config)),
        origins=config.origins,
        environ=environ or {},
    )


def require_usable(plan: Plan) -> None:
    """Raise `MissingDependency` naming every chosen component that cannot be used here, with its install line."""
    errors = [
        MissingDependency(
            code="PLN-001",
            what=f"{choice.section}: {choice.name} is {choice.state}",
            where=plan.origins.get(f"{choice.section}.name"),
            why=choice.problem,
            fix=choice.fix,
        )
        for choice in plan.missing
    ]
    if errors:
        raise together(errors)


def _choice(found: Resolved, bypass_reason: str | None) -> Choice:
    options = dict(found.choice.options)
    if found.id == NO_SAFETY and bypass_reason:
        options["bypass_reason"] = bypass_reason
    return Choice(
        section=found.section,
        kind=found.kind,
        name=found.choice.name.rpartition("/")[2],
        id=found.id,
        version=found.version,
        state=found.state,
        problem=found.problem,
        fix=found.fix,
        runtime=found.runtime,
        options=options,
    )


def _seeds(config: RunConfig) -> dict[str, int]:
    seeds = {purpose: seed_for(config.run.seed, purpose) for purpose in SEED_PURPOSES}
    if config.data.order_seed is not None:
        seeds["data.order"] = seed_for(config.data.order_seed, "data.order")
    return seeds


def _durations(config: RunConfig) -> Iterator[tuple[str, Duration]]:
    """Every duration among sections and options, by dotted path; those of a trainer that is at hand included."""
    holders: dict[str, Any] = {section: found.typed for section, found in config.found.items()}
    holders |= {"run": config.run, "checkpoint": config.checkpoint, "evaluation": config.evaluation}
    for section, holder in holders.items():
        for field in attrs.fields(type(holder)) if attrs.has(type(holder)) else ():
            value = getattr(holder, field.name)
            if isinstance(value, Duration):
                yield f"{section}.{field.name}", value


def _runtime_errors(config: RunConfig, registry: Registry) -> list[CodexError]:
    """Model and trainer must share a runtime; a component that is not installed has none to compare."""
    model, trainer = config.found["model"], config.found["trainer"]
    if None in (model.runtime, trainer.runtime) or model.runtime == trainer.runtime:
        return []
    rows = [row for row in registry.rows if row.state == "ok" and row.runtime]
    pairs = sorted(
        f"{one.name} with {other.name}"
        for one in rows
        for other in rows
        if one.kind == "models" and other.kind == "trainers" and one.runtime == other.runtime
    )
    trainers = [row.name for row in rows if row.kind == "trainers" and row.runtime == model.runtime]
    return [
        ConfigError(
            code="PLN-002",
            what=f"the trainer {trainer.id} ({trainer.runtime}) cannot train the model {model.id} ({model.runtime})",
            where=f"{config.origins['trainer.name']}, trainer.name",
            why=f"model and trainer share a runtime; usable pairs: {', '.join(pairs) or 'none'}",
            fix=f"trainer={trainers[0]}" if trainers else "codex registry list trainers",
        )
    ]


def _safety_errors(config: RunConfig, registry: Registry, bypass_reason: str | None) -> list[CodexError]:
    policies = [row.id for row in registry.rows if row.kind == "safety_policies" and row.state == "ok"]
    if config.safety is None:
        return [
            PolicyError(
                code="PLN-003",
                what="the configuration has no safety policy, and none is installed",
                where="safety",
                why="text is never taken in unchecked without saying so",
                fix="add `safety: {name: none, reason: ...}`, or install codex-safety",
            )
        ]
    place = f"{config.origins.get('safety.name', 'default')}, safety"
    if config.safety.name == NO_SAFETY and policies and not (bypass_reason and bypass_reason.strip()):
        return [
            PolicyError(
                code="PLN-004",
                what="safety is switched off although a policy is installed",
                where=place,
                why=f"installed: {', '.join(policies)}",
                fix="remove the `safety` line, or add `--bypass-safety REASON`, which is recorded",
            )
        ]
    if config.safety.name != NO_SAFETY and bypass_reason is not None:
        return [
            UsageError(
                code="PLN-005",
                what="--bypass-safety has no effect: the configuration uses a policy",
                where=place,
                why=f"it uses {config.safety.name}",
                fix="remove the flag, or also set `safety={name: none, reason: ...}`",
            )
        ]
    return []

"""From a plan and its prepared data to the lock: every duration in steps, every input with its digest.

Decisions: a step consumes `batch_rows` rows of `seq_len` tokens; an epoch is the number of training rows; durations
round up, so that what was asked for is covered. What cannot be worked out is left out and noted, never guessed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from codex_core.errors import ConfigError, InputError, MissingDependency
from codex_core.lock import Lock, Plan
from codex_core.planning import assets
from codex_core.planning.mixing import epoch_rows
from codex_core.planning.rules import PHASE_OPTIONS
from codex_core.planning.structuring import options_from
from codex_core.records import Memory

if TYPE_CHECKING:
    from codex_core.contracts import PreparedData
    from codex_core.registry import Registry


def settle(plan: Plan, prepared: PreparedData, *, registry: Registry, environment: Mapping[str, Any]) -> Lock:
    """The lock of a plan over prepared data.

    Model and trainer need to be described (installed), not usable: a plan settles on a machine without torch.
    Raises `MissingDependency` when one is not even described, `ConfigError` or `InputError` when durations and
    data do not fit.
    """
    if plan.batch_rows is None or plan.duration is None:
        raise _not_described(plan)
    manifest = prepared.manifest
    num_rows = _rows_of_epoch(plan, manifest["splits"]["train"])
    if num_rows == 0:
        raise _no_rows(plan, "train", "data.sources")
    steps_of = {
        name: duration.steps(
            tokens_per_step=plan.batch_rows * plan.seq_len, steps_per_epoch=num_rows / plan.batch_rows
        )
        for name, duration in plan.durations.items()
    }
    steps = steps_of["trainer.duration"]
    _check_phases(plan, steps_of)
    _check_evaluation(plan, manifest["splits"], steps_of["evaluation.every"])
    lock = Lock(
        name=plan.name,
        config_hash=plan.config_hash,
        seed=plan.seed,
        exactness=plan.exactness,
        threads=plan.threads,
        components={section: choice.locked() for section, choice in plan.choices.items()},
        seeds=dict(plan.seeds),
        steps=steps,
        batch_rows=plan.batch_rows,
        seq_len=plan.seq_len,
        vocab_size=int(manifest["tokenizer"]["vocab_size"]),
        log_every=steps_of["run.log_every"],
        evaluate_every=steps_of["evaluation.every"],
        save_every=steps_of["checkpoint.every"],
        durations=steps_of,
        epochs=steps * plan.batch_rows / num_rows,
        tokens=steps * plan.batch_rows * plan.seq_len,
        data=_data(prepared, plan.config["data"].get("weights")) | _assets(plan, registry),
        environment=dict(environment),
        config=dict(plan.config),
        plugins=tuple(dict(plugin) for plugin in registry.freeze()),
    )
    return _with_sizes(lock, plan, registry)


def _rows_of_epoch(plan: Plan, train: Mapping[str, Any]) -> int:
    """Rows of an epoch: all of the training split, or the run in which the longest source of a mixture ends."""
    weights = plan.config["data"].get("weights")
    if weights is None:
        return int(train["rows"])
    rows = train["rows_of_sources"]
    if 0 in rows:
        number = rows.index(0)
        raise ConfigError(
            code="CFG-011",
            what=f"source {number} has a weight of {weights[number]} and no rows in the training split",
            where=f"{plan.origins.get('data.weights', 'default')}, data.weights",
            why=f"its sources have {', '.join(map(str, rows))} rows",
            fix="leave the source out, or add documents to it",
        )
    return epoch_rows(weights, rows)


def _data(prepared: PreparedData, weights: Sequence[int] | None) -> dict[str, Any]:
    """What identifies the data and its order, and where in the store it is, as a name without a folder."""
    manifest = prepared.manifest
    mixed = "" if weights is None else f";weights={':'.join(map(str, weights))}"
    order = {"order": f"{manifest['order']}{mixed}"} if "order" in manifest else {}
    safety = {"safety": dict(manifest["safety"])} if "safety" in manifest else {}  # the account, rule by rule
    kept = ("documents", "tokens", "supervised", "rows", "bytes")
    return {
        "fingerprint": prepared.fingerprint,
        "folder": prepared.path.name,
        "manifest_digest": prepared.manifest_digest,
        "tokenizer": manifest["tokenizer"]["fingerprint"],
        **order,
        **safety,
        "splits": {
            name: {key: held[key] for key in kept if key in held} for name, held in manifest["splits"].items()
        },
    }


def _assets(plan: Plan, registry: Registry) -> dict[str, Any]:
    held = assets.found(plan, registry)
    return {"assets": held} if held else {}


def _unranked(lock: Lock, keep_best: int) -> list[str]:
    """A note when saves and evaluations meet at the end only, so that the best of a run cannot be told before."""
    save, evaluate = lock.save_every, lock.evaluate_every
    if not (keep_best and evaluate and 0 < save < lock.steps) or math.lcm(save, evaluate) < lock.steps:
        return []
    return [
        f"checkpoint.keep_best ranks the last checkpoint only: saves come each {save} steps, evaluations each "
        f"{evaluate}, and they meet at the end"
    ]


def _with_sizes(lock: Lock, plan: Plan, registry: Registry) -> Lock:
    """The lock with predicted memory, and the disk that its checkpoints will take."""
    parts: list[Memory] = []
    notes = _unranked(lock, int(plan.config["checkpoint"]["keep_best"]))
    for section in ("model", "trainer"):
        choice = plan.choices[section]
        row = registry.find(choice.kind, choice.id or choice.name, usable=False)
        estimate, cls = registry.estimate(row), registry.options_class(row)
        if estimate is None:
            continue
        try:
            options = None if cls is None else options_from(cls, choice.options, where=section)
            parts.append(estimate(options, lock))
        except Exception as error:  # noqa: BLE001 -- a plugin's estimate may fail in any way; training need not
            notes.append(f"the memory estimate of {choice.id} failed: {type(error).__name__}: {error}")
    if not parts:
        notes.append("memory and disk are unknown: neither model nor trainer tells how much it takes")
        return attrs.evolve(lock, notes=tuple(notes))
    names = [field.name for field in attrs.fields(Memory)]
    memory = Memory(**{name: sum(getattr(part, name) for part in parts) for name in names})
    # While a new checkpoint is verified, those that it will replace are still there.
    kept, keep_every = plan.config["checkpoint"], lock.durations.get("checkpoint.keep_every", 0)
    num_kept = int(kept["keep_last"]) + 1 + (int(kept["keep_best"]) if lock.evaluate_every else 0)
    num_kept += lock.steps // keep_every if keep_every else 0
    disk_bytes = num_kept * (memory.parameters + memory.moments + memory.averages)
    return attrs.evolve(lock, memory=memory, disk_bytes=disk_bytes, notes=tuple(notes))


def _check_phases(plan: Plan, steps_of: Mapping[str, int]) -> None:
    """A phase given in other units than the duration is only comparable now."""
    steps = steps_of["trainer.duration"]
    for phase in PHASE_OPTIONS:
        name = f"trainer.{phase}"
        if steps_of.get(name, 0) > steps:
            raise ConfigError(
                code="CFG-011",
                what=f"{phase} ({plan.durations[name]} = {steps_of[name]:,} steps) is longer than the training",
                where=f"{plan.origins.get(name, 'default')}, {name}",
                why=f"{plan.duration} are {steps:,} steps over this data",
                fix=f"{name}='{steps} steps' or less",
            )


def _check_evaluation(plan: Plan, splits: Mapping[str, Any], every: int) -> None:
    split = str(plan.config["evaluation"]["split"])
    if every > 0 and not splits[split]["documents"]:
        raise _no_rows(plan, split, "evaluation.split")


def _no_rows(plan: Plan, split: str, name: str) -> InputError:
    return InputError(
        code="PLN-006",
        what=f"the split {split} holds no documents",
        where=f"{plan.origins.get(name, 'default')}, {name}",
        why=f"shares are {plan.config['data']['split']} of train, validation and test",
        fix="add data, change data.split, or evaluation.every=0" if split != "train" else "add data",
    )


def _not_described(plan: Plan) -> MissingDependency:
    trainer = plan.choices["trainer"]
    return MissingDependency(
        code="PLN-001",
        what=f"trainer: {trainer.name} is {trainer.state}, so the number of steps is unknown",
        where=plan.origins.get("trainer.name"),
        why=trainer.problem,
        fix=trainer.fix,
    )

"""What values of a configuration must say together, beyond what each says alone.

Decision: rules look at fields by their agreed names (`warmup`, `batch_rows`, `micro_batch_rows`, `patience`,
`context_length`), so that they hold for components of anybody; a component without such a field is not concerned.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from codex_core.duration import Duration
from codex_core.planning.choices import Resolved
from codex_core.planning.references import misplaced
from codex_core.planning.sections import SPLITS
from codex_core.planning.structuring import Mistake

if TYPE_CHECKING:
    from codex_core.config import RunConfig

CODE = "CFG-011"

#: What weights of sources may sum to: the length of the run in which their shares are exact.
MOST_WEIGHT = 10_000

#: Options of a model that bound the length of a row.
CONTEXT_OPTIONS = ("context", "context_length", "max_positions")

#: Options of a trainer that are phases of the whole duration.
PHASE_OPTIONS = ("warmup", "decay", "cooldown")

_RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

Found = Mapping[str, Resolved]


def broken_rules(config: RunConfig, found: Found) -> list[Mistake]:
    """All mistakes that only show when values are seen together; `found` may lack components."""
    return [mistake for rule in _RULES for mistake in rule(config, found)]


def _run_name(config: RunConfig, _: Found) -> Iterator[Mistake]:
    if not _RUN_NAME.fullmatch(config.run.name):
        what = f"{config.run.name!r:.70} cannot name a run"
        yield Mistake("run.name", CODE, what, "a name is letters, digits, dots, dashes and underscores")


def _exactness(config: RunConfig, _: Found) -> Iterator[Mistake]:
    if config.run.exactness == "L3":
        what = "exactness L3 cannot be held: a run has one process, so nothing can be equal across several"
        yield Mistake("run.exactness", CODE, what, fix="run.exactness=L2")


def _sources(config: RunConfig, _: Found) -> Iterator[Mistake]:
    if not config.data.sources:
        yield Mistake("data.sources", CODE, "there is no data source", fix="data.sources=[pydoc]")


def _weights(config: RunConfig, _: Found) -> Iterator[Mistake]:
    weights, num_sources = config.data.weights, len(config.data.sources)
    if weights is None:
        return
    if len(weights) != num_sources:
        what = f"{len(weights)} weights are given for {num_sources} sources"
        yield Mistake("data.weights", CODE, what, fix=f"data.weights={[1] * num_sources}")
    elif min(weights, default=1) < 1 or sum(weights) > MOST_WEIGHT:
        what = f"the weights {list(weights)} cannot be used"
        why = f"each is a whole number from 1 on, and they sum to at most {MOST_WEIGHT:,}"
        yield Mistake("data.weights", CODE, what, why, fix="leave a source out instead of weighing it by 0")


def _split_shares(config: RunConfig, _: Found) -> Iterator[Mistake]:
    shares = config.data.split
    if any(share < 0 for share in shares) or abs(sum(shares) - 1) > 1e-9:
        what = f"the shares of train, validation and test sum to {sum(shares):.12g}, not to 1"
        yield Mistake("data.split", CODE, what, fix="data.split=[0.9, 0.05, 0.05]")
    elif shares[0] == 0:
        yield Mistake(
            "data.split", CODE, "the training split has no share", fix="data.split=[0.9, 0.05, 0.05]"
        )


def _groups_by_index(config: RunConfig, found: Found) -> Iterator[Mistake]:
    for number in range(len(config.data.sources)):
        group = getattr(_typed(found, f"data.sources[{number}]"), "group", None)
        if config.data.split_by == "index" and group is not None:
            what = f"rows are to stay together by {group!r:.70} and to be split by index"
            why = "by index every row goes by itself"
            yield Mistake(
                "data.split_by",
                CODE,
                what,
                why,
                fix=f"data.split_by=content, or no group in data.sources[{number}]",
            )


def _evaluated_split(config: RunConfig, _: Found) -> Iterator[Mistake]:
    share = config.data.split[SPLITS.index(config.evaluation.split)]
    if config.evaluation.every.amount > 0 and share <= 0:
        what = f"evaluation reads the split {config.evaluation.split}, whose share is 0"
        fix = "give the split a share in data.split, or evaluation.every=0"
        yield Mistake("evaluation.split", CODE, what, fix=fix)


def _best_metric(config: RunConfig, _: Found) -> Iterator[Mistake]:
    wanted, names = (
        config.checkpoint.best_metric,
        [one.name.rpartition("/")[2] for one in config.evaluation.metrics],
    )
    if wanted is not None and wanted not in names:
        what = f"checkpoints are to be ranked by {wanted!r:.70}, which is not evaluated"
        fix = f"checkpoint.best_metric={names[0]}" if names else "name a metric in evaluation.metrics"
        yield Mistake(
            "checkpoint.best_metric", CODE, what, f"evaluated are {', '.join(names) or 'none'}", fix=fix
        )


def _selection(config: RunConfig, _: Found) -> Iterator[Mistake]:
    for name in sorted(set(config.plugins.only or ()) & set(config.plugins.off)):
        yield Mistake(
            "plugins.off", CODE, f"the plugin {name!r} is asked for and left out", fix=f"remove {name!r} once"
        )


def _references(config: RunConfig, found: Found) -> Iterator[Mistake]:
    yield from misplaced(config.as_dict(), found)


def _durations(_: RunConfig, found: Found) -> Iterator[Mistake]:
    options = _typed(found, "trainer")
    duration = getattr(options, "duration", None)
    if not isinstance(duration, Duration):
        return
    if duration.amount == 0:
        yield Mistake(
            "trainer.duration",
            CODE,
            "a training of no length trains nothing",
            fix="trainer.duration='1 epoch'",
        )
        return
    for name in PHASE_OPTIONS:
        phase = getattr(options, name, None)
        if isinstance(phase, Duration) and phase.unit == duration.unit and phase.amount > duration.amount:
            what = f"{name} ({phase}) is longer than the training ({duration})"
            yield Mistake(f"trainer.{name}", CODE, what, fix=f"trainer.{name}='{duration}' or less")


def _batch(_: RunConfig, found: Found) -> Iterator[Mistake]:
    options = _typed(found, "trainer")
    rows, at_once = getattr(options, "batch_rows", None), getattr(options, "micro_batch_rows", None)
    if isinstance(rows, int) and isinstance(at_once, int) and at_once > 0 and rows % at_once:
        divisors = [n for n in range(1, rows + 1) if rows % n == 0]
        why = f"{rows} rows divide into micro-batches of {', '.join(map(str, divisors))}"
        what = f"a batch of {rows} rows does not divide into micro-batches of {at_once}"
        yield Mistake("trainer.micro_batch_rows", CODE, what, why)


def _out_of_memory(config: RunConfig, found: Found) -> Iterator[Mistake]:
    level = config.run.exactness
    if getattr(_typed(found, "trainer"), "on_oom", None) == "retry" and level != "L0":
        what = f"on_oom: retry cannot keep what exactness {level} promises"
        why = "smaller micro-batches round differently, and when memory runs out is up to the machine"
        if level == "L2":
            why = "L2 computes one row at a time, so there is no smaller micro-batch"
        yield Mistake("trainer.on_oom", CODE, what, why, fix="run.exactness=L0, or trainer.on_oom=stop")


def _patience(config: RunConfig, found: Found) -> Iterator[Mistake]:
    patience = getattr(_typed(found, "trainer"), "patience", None)
    if isinstance(patience, int) and config.evaluation.every.amount == 0:
        what = f"patience waits for {patience} evaluations, and there are none"
        yield Mistake("trainer.patience", CODE, what, fix="set evaluation.every, or remove trainer.patience")


def _context(config: RunConfig, found: Found) -> Iterator[Mistake]:
    options = _typed(found, "model")
    for name in CONTEXT_OPTIONS:
        context = getattr(options, name, None)
        if isinstance(context, int) and context < config.data.seq_len:
            what = f"rows of {config.data.seq_len} tokens do not fit into the model's context of {context}"
            fix = f"data.seq_len={context}, or model.{name}={config.data.seq_len}"
            yield Mistake(f"model.{name}", CODE, what, fix=fix)


def _typed(found: Found, section: str) -> Any:
    return found[section].typed if section in found else None


_RULES: tuple[Callable[[RunConfig, Found], Iterator[Mistake]], ...] = (
    _run_name,
    _exactness,
    _sources,
    _weights,
    _split_shares,
    _groups_by_index,
    _evaluated_split,
    _best_metric,
    _selection,
    _references,
    _durations,
    _batch,
    _out_of_memory,
    _patience,
    _context,
)

"""Scoring the documents of a prepared split with a language model.

Decisions: documents are scored as they were rendered (BOS first, so BOS is context and never scored) and their bytes
are those after safety; a chunk of documents is cut into windows, batched by length, scored, and put together again
before metrics see it. A metric that fails is reported and set aside; a mistake that the user can correct (`CodexError`)
and a model that gives something else than log-probabilities stop the evaluation.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence

import attrs

from codex_core.contracts import Emit, LanguageModel, Metric, PreparedData, PreparedText
from codex_core.errors import CodexError, RunFailed, UsageError
from codex_core.evaluation.windows import Cutter, Window, cutter
from codex_core.events import Event, ProgressMade, Warned
from codex_core.records import MetricValue, ScoredText

_CHUNK_DOCUMENTS = 256
_BATCH_TOKENS = 8192


def ignore(event: Event) -> None:
    """Take an event and do nothing."""


def evaluate_split(
    model: LanguageModel,
    prepared: PreparedData,
    split: str,
    *,
    metrics: Sequence[Metric],
    max_documents: int | None = None,
    stride: int | None = None,
    batch_tokens: int = _BATCH_TOKENS,
    on_event: Emit = ignore,
) -> dict[str, MetricValue]:
    """Evaluate the first `max_documents` documents (all by default) of `split`; values by metric name.

    A model without context limit sees whole documents; others see windows that advance by `stride` tokens (half a
    context by default). `batch_tokens` bounds what one call of the model gets, padding included.

    Raises `UsageError` for metrics that need something else than a log-likelihood, `InputError` for a split without
    text, `RunFailed` when the model's numbers are none, or when every metric failed.
    """
    _check(metrics)
    cut = cutter(model.context_length, stride=stride)
    scores = any(metric.needs == "loglikelihood" for metric in metrics)
    running = _Running(list(metrics), on_event)
    texts = itertools.islice(prepared.texts(split), max_documents)
    done = 0
    while chunk := list(itertools.islice(texts, _CHUNK_DOCUMENTS)):
        logprobs = _score(model, chunk, cut, batch_tokens) if scores else [()] * len(chunk)
        for text, scored in zip(chunk, logprobs, strict=True):
            running.update(_scored(text, scored))
        done += len(chunk)
        on_event(ProgressMade(phase="evaluate", done=done, total=max_documents, detail=split))
    return running.compute(rule=cut.rule() + ("" if max_documents is None else f"|documents:first {done}"))


def rows_of(values: dict[str, MetricValue], *, step: int, split: str) -> list[dict[str, object]]:
    """An evaluation as a metric row, in the form that training rows have."""
    return [{"step": step, "split": split} | {name: values[name].value for name in sorted(values)}]


@attrs.define
class _Running:
    """The metrics that are still in use."""

    metrics: list[Metric]
    on_event: Emit

    def update(self, scored: ScoredText) -> None:
        """Give a text to every metric."""
        self._each(lambda metric: metric.update(scored))

    def compute(self, *, rule: str) -> dict[str, MetricValue]:
        """The values, each signed with `rule` as well."""
        values: dict[str, MetricValue] = {}

        def take(metric: Metric) -> None:
            value = metric.compute()
            values[metric.name] = attrs.evolve(value, signature=f"{value.signature}|{rule}")

        self._each(take)
        return values

    def _each(self, use: Callable[[Metric], None]) -> None:
        for metric in list(self.metrics):
            try:
                use(metric)
            except CodexError:
                raise
            except Exception as error:  # noqa: BLE001 - a metric is a plugin, and one bad one must not cost the others
                self._set_aside(metric, error)

    def _set_aside(self, metric: Metric, error: Exception) -> None:
        self.metrics.remove(metric)
        why = f"{type(error).__name__}: {error}"
        self.on_event(Warned(code="EVL-007", text=f"metric {metric.name} failed and was set aside: {why}"))
        if not self.metrics:
            raise RunFailed(
                code="EVL-004",
                what="every metric failed, so there is nothing to report",
                why=f"the last was {metric.name}: {why}",
                fix="codex registry check",
            ) from error


def _check(metrics: Sequence[Metric]) -> None:
    for metric in metrics:
        if metric.needs not in ("loglikelihood", "tokens"):
            raise UsageError(
                code="EVL-002",
                what=f"metric {metric.name} needs {metric.needs}, which scoring a split does not give",
                why="a split of plain documents has log-probabilities and tokens, no prompts or references",
                fix="choose metrics that need a log-likelihood or tokens: codex registry list metrics",
            )
    names = [metric.name for metric in metrics]
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(
            code="EVL-006",
            what=f"metric {doubled[0]} is chosen twice",
            why="results are kept by metric name",
            fix="remove one of the two from evaluation.metrics",
        )
    if not names:
        raise UsageError(
            code="EVL-002",
            what="no metric is chosen",
            fix="name one in evaluation.metrics, for instance bits_per_byte",
        )


def _scored(text: PreparedText, logprobs: Sequence[float]) -> ScoredText:
    return ScoredText(
        id=text.id,
        text=text.text,
        num_bytes=text.num_bytes,
        ids=text.ids[1:],
        logprobs=tuple(logprobs),
    )


def _score(
    model: LanguageModel, chunk: Sequence[PreparedText], cut: Cutter, batch_tokens: int
) -> list[list[float]]:
    """Log-probabilities of every document's tokens but the first, in order."""
    windows = [(number, window) for number, text in enumerate(chunk) for window in cut.windows(text.ids)]
    logprobs: list[list[float]] = [[] for _ in windows]
    for batch in _batches([window for _, window in windows], batch_tokens):
        rows = [windows[place][1].row for place in batch]
        found = model.loglikelihood(rows)
        _check_numbers(rows, found)
        for place, row in zip(batch, found, strict=True):
            logprobs[place] = row[len(row) - windows[place][1].num_scored :]
    documents: list[list[float]] = [[] for _ in chunk]
    for (number, _), row in zip(windows, logprobs, strict=True):
        documents[number].extend(row)
    return documents


def _batches(windows: Sequence[Window], batch_tokens: int) -> Iterator[list[int]]:
    """Places of windows of similar length, longest first, so that too large a batch fails at once."""
    batch: list[int] = []
    for place in sorted(range(len(windows)), key=lambda place: -len(windows[place].row)):
        width = len(windows[batch[0]].row) if batch else 0
        if batch and (len(batch) + 1) * width > batch_tokens:
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch


def _check_numbers(rows: Sequence[Sequence[int]], found: Sequence[Sequence[float]]) -> None:
    if [len(row) - 1 for row in rows] != [len(row) for row in found]:
        raise RunFailed(
            code="EVL-003",
            what="the model gave another number of log-probabilities than there are tokens to score",
            why=f"rows of {[len(row) for row in rows][:4]} tokens got {[len(row) for row in found][:4]} numbers",
            fix="codex registry check MODEL",
        )
    worst = [value for row in found for value in row if math.isnan(value) or value > 1e-3]
    if worst:
        raise RunFailed(
            code="EVL-003",
            what=f"the model gave {worst[0]!r} as a natural-log probability",
            why=f"{len(worst)} of its numbers in this batch are NaN or above 0; did the training diverge?",
            fix="evaluate an earlier checkpoint: codex checkpoint list RUN",
        )

"""Offers the metrics and the tabular writers."""

from __future__ import annotations

from codex_core import Component, hookimpl

CODEX_API = (1, 0)


@hookimpl
def codex_metrics() -> list[Component]:
    """The perplexity family, and what a tokenizer packs into a token."""
    return [
        _metric("bits_per_byte", "BitsPerByte", "Bits that the model needs per UTF-8 byte of the text"),
        _metric("perplexity", "Perplexity", "Perplexity per token"),
        _metric("token_stats", "TokenStats", "UTF-8 bytes per scored token"),
        _metric("word_perplexity", "WordPerplexity", "Perplexity per word, words split at white space"),
    ]


@hookimpl
def codex_writers() -> list[Component]:
    """Writers that need nothing but a disk."""
    return [
        _writer("csv", "CsvWriter", "Metric rows as a table that spreadsheets read"),
        _writer("ndjson", "NdjsonWriter", "Metric rows as lines of JSON"),
    ]


def _metric(name: str, target: str, summary: str) -> Component:
    return Component(
        name,
        target=f"codex_core.evaluation.metrics:{target}",
        options="codex_core.evaluation.options:MetricOptions",
        summary=summary,
    )


def _writer(name: str, target: str, summary: str) -> Component:
    return Component(
        name,
        target=f"codex_core.evaluation.writers:{target}",
        options="codex_core.evaluation.options:WriterOptions",
        summary=summary,
    )

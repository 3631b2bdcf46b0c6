"""Offers the n-gram model and its trainer."""

from __future__ import annotations

from codex_core import Component, hookimpl

CODEX_API = (1, 0)


@hookimpl
def codex_models() -> list[Component]:
    """The n-gram model."""
    return [
        Component(
            "ngram",
            target="codex_core.ngram.model:Ngram",
            options="codex_core.ngram.options:NgramOptions",
            summary="Interpolated modified Kneser-Ney n-gram, NumPy only",
            requires=("numpy", "safetensors"),
            runtime="ngram",
            estimate="codex_core.ngram.memory:estimate",
        )
    ]


@hookimpl
def codex_trainers() -> list[Component]:
    """The trainer that counts."""
    return [
        Component(
            "ngram",
            target="codex_core.ngram.trainer:NgramTrainer",
            options="codex_core.ngram.options:NgramTrainerOptions",
            summary="Counts n-grams of packed rows in data order; exact resume",
            requires=("numpy", "safetensors"),
            runtime="ngram",
        )
    ]

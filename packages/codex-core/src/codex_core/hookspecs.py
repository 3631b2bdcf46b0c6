"""The hooks of Codex: one per kind of component, and three events.

Decisions: kind hooks take no argument and return `Component` records; they are pure (same installation, same
list). Event hooks take exactly one argument, `ctx`, a frozen record that may grow fields. Every plugin, ours
included, implements them in the one module that its `codex.plugins` entry point names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from codex_core.components import Component
    from codex_core.events import CheckpointSavedContext, RunFinishedContext, RunStartedContext

#: Marks a function of a plugin module as an implementation of a hook.
hookimpl = pluggy.HookimplMarker("codex")

hookspec = pluggy.HookspecMarker("codex")


@hookspec
def codex_tokenizers() -> Iterable[Component]:
    """Offer tokenizers: targets are classes with `train` and `load` (`contracts.TokenizerClass`)."""
    return ()


@hookspec
def codex_models() -> Iterable[Component]:
    """Offer models: targets are classes with `build` and `open` (`contracts.ModelClass`)."""
    return ()


@hookspec
def codex_datasets() -> Iterable[Component]:
    """Offer datasets: targets are classes built from their options (`contracts.Dataset`)."""
    return ()


@hookspec
def codex_metrics() -> Iterable[Component]:
    """Offer metrics: targets are classes built from their options (`contracts.Metric`)."""
    return ()


@hookspec
def codex_writers() -> Iterable[Component]:
    """Offer writers: targets are classes built from their options (`contracts.Writer`)."""
    return ()


@hookspec
def codex_safety_policies() -> Iterable[Component]:
    """Offer safety policies: targets are classes built from their options (`contracts.SafetyPolicy`)."""
    return ()


@hookspec
def codex_trainers() -> Iterable[Component]:
    """Offer trainers: targets are classes built from their options, with `fit` (`contracts.Trainer`)."""
    return ()


@hookspec
def codex_commands() -> Iterable[Component]:
    """Offer command groups: targets are click commands; the component's name is the command's name."""
    return ()


@hookspec
def codex_run_started(ctx: RunStartedContext) -> None:
    """A run directory exists and its lock is written; no step was made in this attempt yet."""


@hookspec
def codex_checkpoint_saved(ctx: CheckpointSavedContext) -> None:
    """A checkpoint was committed and verified, and pointers were moved to it."""


@hookspec
def codex_run_finished(ctx: RunFinishedContext) -> None:
    """The run reached a terminal status; its files are complete. Reports are made here, from files only."""

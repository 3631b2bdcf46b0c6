"""Offers the TensorBoard writer, and listens to runs: a readable log, and samples of the machine.

Event hooks import what they need when they are called: describing this distribution must load neither structlog
nor psutil.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from codex_core import Component, hookimpl

if TYPE_CHECKING:
    from codex_core.events import RunFinishedContext, RunStartedContext

CODEX_API = (1, 0)


@hookimpl
def codex_writers() -> list[Component]:
    return [
        Component(
            "tensorboard",
            target="codex_telemetry.tensorboard:TensorBoardWriter",
            options="codex_telemetry.options:TensorBoardOptions",
            summary="Scalars for TensorBoard, one event file per attempt, without TensorFlow",
            requires=("tensorboard",),
            capabilities=("durable", "scalars"),
        )
    ]


@hookimpl
def codex_run_started(ctx: RunStartedContext) -> None:
    if ctx.telemetry.get("system_metrics", "off") != "off":
        from codex_telemetry import sampling

        sampling.start(ctx)


@hookimpl
def codex_run_finished(ctx: RunFinishedContext) -> None:
    from codex_telemetry import logs, sampling

    try:
        sampling.stop(ctx.run_dir)
    finally:
        logs.write(ctx.run_dir)

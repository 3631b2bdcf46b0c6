"""A step that does not fit into memory: ended with a way out, or computed again in smaller micro-batches.

Decisions: only gradients are computed again, never an update, so what was learned before stays as it is; the rows of
a step and what its loss is divided by stay the same; the micro-batch stays a divisor of the batch, and stays small
until the run ends. Where bits were promised there is no retry: sums over other micro-batches round differently.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from codex_core.contracts import Emit, PackedRows
from codex_core.errors import RunFailed
from codex_core.events import Warned
from codex_core.lock import Lock
from codex_models.gradients import gradients_of
from codex_models.guards import Outcome
from codex_models.training import MicroBatch, Training

#: What torch's allocator for main memory says, for want of an exception of its own.
_ALLOCATOR_SAYS = ("can't allocate memory", "not enough memory")


def gradients_in_memory(
    training: Training,
    lock: Lock,
    data: PackedRows,
    batches: Sequence[MicroBatch],
    *,
    step: int,
    supervised: int,
    emit: Emit,
) -> Outcome:
    """As `gradients_of`; out of memory, the step is computed again in smaller micro-batches where that is wanted.

    Raises `RunFailed` when it is not, or when one row at a time does not fit.
    """
    while True:
        try:
            return gradients_of(training, lock, batches, step=step, supervised=supervised)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            reason = str(error)
        # Here the exception is gone, and with it the activations that its frames held.
        training.optimizer.discard_gradients()
        rows = training.rows_at_once
        fewer = fewer_rows(rows, of=training.options.batch_rows)
        if training.options.on_oom == "stop" or fewer == rows:
            raise _does_not_fit(step, rows, fewer, reason)
        training.rows_at_once = fewer
        emit(
            Warned(
                code="TRN-012",
                text=f"step {step} ran out of memory with {rows} rows at once; it is computed again, and the run "
                f"goes on, with {fewer}; the batch stays {training.options.batch_rows} rows ({reason:.200})",
            )
        )
        batches = training.micro_batches(data, step)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out, on an accelerator or in main memory."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _ALLOCATOR_SAYS)


def fewer_rows(rows: int, *, of: int) -> int:
    """The largest divisor of `of` that is at most half of `rows`; 1 stays 1.

    >>> [fewer_rows(rows, of=12) for rows in (12, 6, 3, 1)]
    [6, 3, 1, 1]
    """
    return max((n for n in range(1, rows // 2 + 1) if of % n == 0), default=rows)


def _does_not_fit(step: int, rows: int, fewer: int, reason: str) -> RunFailed:
    smaller = f"trainer.micro_batch_rows={fewer}, or run.exactness=L0 trainer.on_oom=retry"
    return RunFailed(
        code="RUN-011",
        what=f"out of memory in step {step}, with {rows} rows at once",
        where="trainer.micro_batch_rows",
        why=reason or None,
        fix=smaller
        if fewer < rows
        else "make data.seq_len or the model smaller; codex plan FILE shows what takes memory",
    )

"""What a training refuses, skips or tells before its numbers reach the weights.

Decisions: an update is applied only when loss and gradient norm are finite; what they really were is an event of
its own, because no mean can hold them; a skipped step counts as a step (its rows are
consumed, its loss is in no mean), so that the order of the data does not depend on what was skipped.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import attrs

from codex_core.contracts import Emit, PackedRows
from codex_core.errors import CodexError, RollBack, RunFailed
from codex_core.events import Warned
from codex_models.events import UpdateWithheld
from codex_models.trainer_options import TorchTrainerOptions

#: How far the first loss may be from ln(V), as a share of it, before a user should know.
_FIRST_LOSS_MARGIN = 0.2

#: Documents that a message names.
_MOST_NAMED = 5


@attrs.frozen(kw_only=True)
class Outcome:
    """What a step computed: its mean loss, the gradient's norm before clipping, and whose loss was not finite.

    `positions` are the global positions of its rows, `suspects` those of the micro-batches without a finite loss;
    `is_empty` says that everything to learn from was left out, so that nothing was computed.
    """

    loss: float
    grad_norm: float
    positions: tuple[int, ...]
    suspects: tuple[int, ...] = ()
    is_empty: bool = False

    @property
    def is_finite(self) -> bool:
        """Whether the update may be applied."""
        return math.isfinite(self.loss) and math.isfinite(self.grad_norm)


def has_supervised(data: PackedRows, positions: Sequence[int], supervised: int, step: int) -> bool:
    """Whether a step has something to learn from; not when it had and all of it is left out of the run.

    Raises `RunFailed` for a step that never had anything to learn from, naming its rows and their documents.
    """
    if supervised:
        return True
    left_out: Any = getattr(data, "left_out", None)
    if left_out is not None and any(left_out(position, 1) for position in positions):
        return False
    documents = documents_at(data, positions)
    named = f", documents {', '.join(documents[:_MOST_NAMED])}" if documents else ""
    more = f" and {len(documents) - _MOST_NAMED} more" if len(documents) > _MOST_NAMED else ""
    raise RunFailed(
        code="TRN-001",
        what=f"step {step} has no supervised token, so it has no loss",
        where=f"rows at positions {positions[0]} to {positions[-1]}{named}{more}",
        why="every target in these rows is masked or padding",
        fix="codex data inspect, and look at what is learned in these rows",
    )


def passed_over(positions: Sequence[int], step: int, emit: Emit) -> Outcome:
    """The outcome of a step of which everything is left out, told."""
    text = f"step {step}: everything that was to be learned in its rows is left out; no update was applied"
    emit(Warned(code="RUN-029", text=text))
    return Outcome(loss=math.nan, grad_norm=math.nan, positions=tuple(positions), is_empty=True)


def documents_at(data: PackedRows, positions: Sequence[int]) -> list[str]:
    """The documents of rows, as far as the data can tell (`documents(start, count)`)."""
    tell: Any = getattr(data, "documents", None)
    if tell is None:
        return []
    return list(tell(positions[0], len(positions)))


def warn_of_first_loss(loss: float, *, vocab_size: int, has_weights: bool, emit: Emit) -> None:
    """Tell of a first loss that is far from ln(V): of any for a new model, of a higher one where weights were given."""
    expected = math.log(vocab_size)
    distance = loss - expected if has_weights else abs(loss - expected)
    if not math.isfinite(loss) or distance <= _FIRST_LOSS_MARGIN * expected:
        return
    what = "a model with weights should be below" if has_weights else "an untrained model should be near"
    emit(
        Warned(
            code="TRN-003",
            text=f"the first loss is {loss:.3f} nats; {what} ln(V) = {expected:.3f} over {vocab_size} ids; "
            "are the targets what you expect?",
        )
    )


def withhold(
    outcome: Outcome, *, step: int, skipped: int, options: TorchTrainerOptions, rows: str, emit: Emit
) -> None:
    """Tell of an update that is not applied, and end the training unless the policy lets it go on.

    `skipped` counts this step. Raises `RunFailed` (stop, or too many skipped) or `RollBack`.
    """
    action: Literal["stop", "skip", "rollback"] = options.on_nonfinite  # type: ignore[assignment]  # one of its choices
    emit(_told(outcome, step=step, action=action, skipped=skipped))
    if action == "skip" and skipped <= options.max_nonfinite:
        return
    what = f"step {step}: the loss is {outcome.loss} and the gradient norm {outcome.grad_norm}; "
    if action == "rollback":
        raise RollBack(
            code="TRN-008",
            step=step,
            positions=outcome.suspects or outcome.positions,
            what=what + "the update was not applied and the run goes back",
            where=f"rows {rows}",
            why="on_nonfinite: rollback leaves the documents of these rows out from the newest checkpoint on",
            fix="codex train --resume RUN --without DOC",
        )
    raise _stopped(what, rows, skipped - 1 if action == "skip" else 0)


def _stopped(what: str, rows: str, skipped: int) -> CodexError:
    before = (
        f"; {skipped} steps had been skipped before, as many as trainer.max_nonfinite allows"
        if skipped
        else ""
    )
    return RunFailed(
        code="TRN-002",
        what=what + "the update was not applied",
        where=f"rows {rows}",
        why=f"weights and moments are those of the step before{before}",
        fix="lower trainer.lr or lengthen trainer.warmup, or resume from an earlier checkpoint",
    )


def _told(outcome: Outcome, *, step: int, action: str, skipped: int) -> UpdateWithheld:
    return UpdateWithheld(
        step=step,
        loss=outcome.loss,
        grad_norm=outcome.grad_norm,
        action=action,
        skipped=skipped if action == "skip" else 0,
        positions=outcome.suspects or outcome.positions,
    )

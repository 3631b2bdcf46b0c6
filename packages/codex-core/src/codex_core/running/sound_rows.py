"""Whether packed rows keep their contract, looked at before anything is trained on them.

Decision: the first rows are looked at, of every training and whoever made them: a mistake in making rows is in all of
them. What is checked is what a model could not show, because its loss falls all the same: labels that are not the next
token, documents that see each other, padding that is learned.

Shapes: R rows, L sequence length.
"""

from __future__ import annotations

from codex_core.contracts import PackedRows, RowBatch
from codex_core.errors import InputError

#: Rows that are looked at.
_NUM_ROWS = 8


def require_sound(rows: PackedRows) -> None:
    """Raise `InputError` when the first rows are not what `contracts.RowBatch` promises."""
    batch = rows.rows(0, min(_NUM_ROWS, rows.num_rows))
    if faults := faults_of(batch):
        raise InputError(
            code="DAT-063",
            what=faults[0],
            where="the first rows of the training split",
            why="; ".join(faults[1:]) or "the loss would fall, and the model would learn something else",
            fix="prepare the data again, and tell whoever made its packing: codex data prepare FILE",
        )


def faults_of(batch: RowBatch) -> list[str]:
    """Sentences, one per promise that a batch breaks; none for a sound one."""
    pieces = batch.document_ids
    before, after = pieces[:, :-1], pieces[:, 1:]
    is_real = pieces >= 0
    goes_on = (before == after) & (before >= 0)  # (R, L - 1): both tokens are of one piece
    begins = (before != after) & (after >= 0)
    steps = batch.positions[:, 1:] - batch.positions[:, :-1]
    found = {
        "labels are shifted: a target is not the token that comes next": (
            (batch.targets[:, :-1] != batch.inputs[:, 1:]) & goes_on
        ).any(),
        "documents leak into each other: positions do not restart where a document begins": (
            ((batch.positions[:, 1:] != 0) & begins).any()
            or ((batch.positions[:, :1] != 0) & is_real[:, :1]).any()
        ),
        "documents leak into each other: positions restart or jump within one piece": (
            (steps != 1) & goes_on
        ).any(),
        "pieces of a row are not numbered one after another, with padding behind them": (
            ((after != before + 1) & begins).any()
            or ((pieces[:, :1] > 0).any())
            or (begins & (before < 0)).any()
        ),
        "padding is supervised": (batch.loss_mask & ~is_real).any(),
    }
    return [sentence for sentence, is_broken in found.items() if is_broken]

"""Going back and leaving documents out: what a lock says of them, and who decides which they are.

Decisions: `lock.data["without"]` maps a document's id to the global position of the first row from which nothing is
learned of it, so that one lock tells of the whole training, also of the part before the documents went; what a lock
left out once stays out. Which documents a failed step is about is a question to the prepared set.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Any

import attrs

from codex_core.contracts import LeavingOut, PackedRows, PreparedData
from codex_core.errors import InputError, RollBack, RunFailed
from codex_core.journal import History
from codex_core.lock import Lock
from codex_core.running.checkpoint_files import Checkpoint
from codex_core.running.resuming import Changes
from codex_core.running.sound_rows import require_sound

#: Where a lock's `data` names the documents that are left out.
WITHOUT = "without"

_NUM_NEAR = 3

#: How often a run whose lock does not say may go back.
_ROLLBACKS = 3


def rows_of(prepared: PreparedData, lock: Lock) -> PackedRows:
    """The rows that a lock trains on, with its documents left out; `InputError` when they are not sound."""
    seed, without, mixed = lock.seeds["data.order"], _left_out(lock), _mixed(lock)
    if not without:
        rows = prepared.packed("train", seed=seed, **mixed)
    else:
        rows = _able(prepared).packed("train", seed=seed, without=without, **mixed)
    require_sound(rows)
    return rows


def leave_out(
    lock: Lock,
    changes: Changes,
    documents: Collection[str],
    *,
    prepared: PreparedData,
    parent: Checkpoint | None,
) -> tuple[Lock, Changes]:
    """The lock without these documents from the step after `parent` on, and the change among the others.

    Raises `InputError` with near names for an id that the training data does not hold.
    """
    if not documents:
        return lock, changes
    _require_known(documents, _able(prepared))
    since = 0 if parent is None else parent.step * lock.batch_rows
    before = _left_out(lock)
    after = {**before, **{id: min(since, before.get(id, since)) for id in sorted(documents)}}
    changed = attrs.evolve(lock, data={**lock.data, WITHOUT: dict(sorted(after.items()))})
    told = {f"data.{WITHOUT}": (sorted(before), sorted(after))}
    return changed, Changes({**changes.asked, **told}, changes.drift)


def carried_over(before: Lock, after: Lock) -> Lock:
    """A lock that was settled anew, with what the lock before it left out."""
    return (
        attrs.evolve(after, data={**after.data, WITHOUT: before.data[WITHOUT]})
        if _left_out(before)
        else after
    )


def documents_of(back: RollBack, lock: Lock, *, prepared: PreparedData) -> list[str]:
    """The documents that the rows of a failed step are learned from; raises `RunFailed` when there is none left."""
    without = _left_out(lock)
    able, seed = _able(prepared), lock.seeds["data.order"]
    held = able.documents_at("train", seed=seed, positions=back.positions, **_mixed(lock))
    first = min(back.positions, default=0)
    documents = [id for id in held if without.get(id, first + 1) > first]
    if not documents:
        raise RunFailed(
            code="RUN-023",
            what=f"step {back.step} cannot be applied, and nothing of its rows can be left out any more",
            where=back.where,
            why=back.what,
            fix="lower trainer.lr, or look at the checkpoints: codex checkpoint list RUN",
        ) from back
    return documents


def require_another_time(history: History, lock: Lock, back: RollBack) -> None:
    """Raise `RunFailed` when a run went back as often as it may, and what stopped it when it may not at all."""
    most = int(lock.config.get("run", {}).get("max_rollbacks", _ROLLBACKS))
    gone_back = sum(
        record.kind == "run_finished" and record.fields["status"] == "rolled back"
        for record in history.records
    )
    if most == 0:
        raise back
    if gone_back > most:
        raise RunFailed(
            code="RUN-023",
            what=f"the training went back {most} time{'s' if most > 1 else ''} and failed again: {back.what}",
            where=back.where,
            why="run.max_rollbacks says how often it may; the journal names what was left out each time",
            fix="lower trainer.lr, or leave more documents out: codex train --resume RUN --without @FILE",
        ) from back


def _left_out(lock: Lock) -> Mapping[str, int]:
    found: Mapping[str, int] = lock.data.get(WITHOUT, {})
    return found


def _mixed(lock: Lock) -> dict[str, Any]:
    """What mixes sources by weights, for sets that are asked to."""
    weights = lock.config.get("data", {}).get("weights")
    return {} if weights is None else {"weights": tuple(weights)}


def _able(prepared: PreparedData) -> LeavingOut:
    if not isinstance(prepared, LeavingOut):
        raise InputError(
            code="RUN-022",
            what="this kind of prepared data cannot leave documents out",
            where=str(prepared.path),
            fix="prepare the data without them: codex data prepare FILE",
        )
    return prepared


def _require_known(documents: Collection[str], prepared: LeavingOut) -> None:
    ids = list(prepared.document_ids("train"))
    if unknown := sorted(set(documents) - set(ids)):
        near = get_close_matches(unknown[0], ids, n=_NUM_NEAR)
        others = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        raise InputError(
            code="RUN-022",
            what=f"the training data holds no document {unknown[0]!r}{others}",
            where="--without",
            why=f"did you mean {' or '.join(near)}?"
            if near
            else f"it holds {len(ids)} documents, from {ids[0]!r} on",
            fix="codex data trace RUN --step A..B names the documents of steps",
        )

"""What a run learns from, as its data says: every token, or only some of them.

Decision: the objective is read off the counts that the lock holds and is no option of its own, so that what is
stated and what is minimised cannot differ. The first token of a document is context only and never a target.
"""

from __future__ import annotations

from codex_core.lock import Lock


def supervised_share(lock: Lock) -> float | None:
    """The part of all targets of the training split that is learned from; None where it was not counted."""
    held = lock.data.get("splits", {}).get("train", {})
    if not {"supervised", "tokens", "documents"} <= held.keys():
        return None
    targets = int(held["tokens"]) - int(held["documents"])
    return min(1.0, int(held["supervised"]) / targets) if targets > 0 else None


def objective_of(lock: Lock) -> str:
    """`pretrain` where every target is learned from (or nothing else is known), else `finetune`."""
    share = supervised_share(lock)
    return "pretrain" if share is None or share == 1.0 else "finetune"

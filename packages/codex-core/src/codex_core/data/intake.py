"""What becomes of each record that a dataset yields: kept, in which form and split, or dropped for a reason.

Decisions: a document is dropped for exactly one reason, in this order: `empty` (nothing but white space),
`duplicate` (the same turns were read before), `blocked` (the policy), `empty` or `duplicate` again after
redaction, `unsupervised` (no turn is to be learned; refused instead where the plan says so). A row that a dataset
could not read and was told to pass over is skipped. Read = kept + dropped + skipped, always. The corpus digest runs
over each kept turn's UTF-8 length (8 bytes, big-endian) and bytes in the order read, so two machines can tell that
they read the same.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs

from codex_core.canonical import digest_of
from codex_core.contracts import Emit, SafetyPolicy
from codex_core.data.parts import skipped_of
from codex_core.data.sources import Source, checked_records
from codex_core.data.splits import Splitter
from codex_core.errors import InputError
from codex_core.events import ProgressMade
from codex_core.records import Record

#: Raised by hand whenever this stage would give other bytes for the same identity.
STAGE_VERSION = 2

_PROGRESS_ROWS = 1000


@attrs.frozen(kw_only=True)
class Policy:
    """The safety policy of the plan, built: its canonical id and fingerprint, and what it was built from."""

    id: str
    policy: SafetyPolicy
    fingerprint: str
    recipe: tuple[Any, Any] | None = None


@attrs.frozen(kw_only=True)
class TextsPlan:
    """Everything stage one depends on."""

    sources: tuple[Source, ...]
    policy: Policy | None
    splitter: Splitter
    dedup: str
    unsupervised: str = "drop"

    def identity(self) -> dict[str, Any]:
        """Canonical JSON of what decides the stored bytes."""
        return {
            "stage": f"texts/{STAGE_VERSION}",
            "sources": [{"id": source.id, "identity": dict(source.identity)} for source in self.sources],
            "safety": None
            if self.policy is None
            else {"id": self.policy.id, "fingerprint": self.policy.fingerprint},
            "dedup": self.dedup,
            "split": self.splitter.identity(),
            **({} if self.unsupervised == "drop" else {"unsupervised": self.unsupervised}),
        }

    def fingerprint(self) -> str:
        """`sha256:<hex>` of the identity."""
        return digest_of(self.identity())


@attrs.frozen(kw_only=True)
class Judged:
    """What one row comes to: kept in a split, or dropped for a reason; what stands for it when repeats are sought.

    `keys` are those of the row as it was read and, if the policy changed it, as it would be kept; a row that was
    dropped as `empty` before the policy or as a known `duplicate` has none. `rules` are the policy's matches.
    """

    reason: str | None = None
    split: str | None = None
    record: Record | None = None
    keys: tuple[bytes, ...] = ()
    rules: tuple[str, ...] = ()

    @property
    def is_redacted(self) -> bool:
        """Whether the policy changed the row."""
        return self.record is not None and len(self.keys) > 1


def judge(record: Record, plan: TextsPlan, *, is_known: Callable[[bytes], bool]) -> Judged:
    """Judge a row by itself; only one that `is_known` already is a duplicate here.

    Raises `InputError` for a row without supervision where the plan says so.
    """
    if _is_empty(record):
        return Judged(reason="empty")
    keys: tuple[bytes, ...] = (_key(record),)
    if is_known(keys[0]):
        return Judged(reason="duplicate")
    inspected, rules = _inspect(record, plan.policy)
    if inspected is None:
        return Judged(reason="blocked", keys=keys, rules=rules)
    reason = split = None
    if inspected is not record:
        keys = (*keys, _key(inspected))
        reason = "empty" if _is_empty(inspected) else None
    if reason is None and not any(turn.learn and turn.text for turn in inspected.turns):
        reason = "unsupervised"
        if plan.unsupervised == "refuse":
            raise _unsupervised(inspected)
    if reason is None:
        split = plan.splitter.split_of(inspected.text, group=inspected.group, source=inspected.source)
    return Judged(reason=reason, split=split, record=inspected, keys=keys, rules=rules)


def _is_empty(record: Record) -> bool:
    return not any(turn.text.strip() for turn in record.turns)


def _inspect(record: Record, policy: Policy | None) -> tuple[Record | None, tuple[str, ...]]:
    """The record with redactions applied (itself when there are none), None when it may not pass; rules matched."""
    if policy is None:
        return record, ()
    decisions = [policy.policy.inspect(turn.text, "data") for turn in record.turns]
    rules = tuple(match.rule for decision in decisions for match in decision.matches)
    if not all(decision.allowed for decision in decisions):
        return None, rules
    turns = tuple(
        turn if decision.text == turn.text else attrs.evolve(turn, text=decision.text)
        for turn, decision in zip(record.turns, decisions, strict=True)
    )
    return (record if turns == record.turns else attrs.evolve(record, turns=turns)), rules


@attrs.define(kw_only=True)
class Account:
    """Counts of rows by outcome, and what the policy did; `read = kept + dropped + skipped`."""

    read: int = 0
    redacted: int = 0
    kept: Counter[str] = attrs.field(factory=Counter)
    dropped: Counter[str] = attrs.field(factory=Counter)
    skipped: Counter[str] = attrs.field(factory=Counter)
    rules: Counter[str] = attrs.field(factory=Counter)

    def add_skipped(self, skipped: Mapping[str, int]) -> None:
        """Count rows that a dataset read and skipped, by reason."""
        self.skipped.update(skipped)
        self.read += sum(skipped.values())

    def rows(self) -> dict[str, Any]:
        """The account of all rows: read = kept + dropped + skipped."""
        kept = self.kept.total()
        gone = self.dropped.total() + self.skipped.total()
        assert self.read == kept + gone, "rows were lost without a reason"
        return {
            "read": self.read,
            "kept": kept,
            "dropped": dict(sorted((+self.dropped).items())),
            "skipped": dict(sorted((+self.skipped).items())),
        }

    def safety(self, policy: Policy | None) -> dict[str, Any]:
        """What the policy did to rows that are no duplicates: blocked, redacted, matches by rule."""
        return {
            "policy": policy and policy.id,
            "fingerprint": policy and policy.fingerprint,
            "stage": "data",
            "blocked": self.dropped["blocked"],
            "redacted": self.redacted,
            "matches": dict(sorted(self.rules.items())),
        }

    def refuse_empty(self, plan: TextsPlan) -> None:
        """Raise `InputError` when nothing was kept, or nothing in the training split."""
        where = ", ".join(f"data.sources[{i}] ({source.id})" for i, source in enumerate(plan.sources))
        if self.kept.total() == 0:
            gone = sorted((self.dropped + self.skipped).items())
            dropped = ", ".join(f"{count} {reason}" for reason, count in gone)
            raise InputError(
                code="DAT-002",
                what="the dataset is empty",
                where=where,
                why=f"{self.read} rows were read, none was kept" + (f": {dropped}" if dropped else ""),
                fix="check the source, its options and the safety policy",
            )
        if self.kept["train"] == 0:
            raise InputError(
                code="DAT-007",
                what="the training split is empty",
                where=where,
                why=f"{self.kept.total()} documents were kept, and their groups or texts fell into other splits",
                fix="add documents, change data.split_seed, or set data.split=[1,0,0]",
            )


@attrs.define
class Intake:
    """Takes the records of a plan one by one in this process, and says what becomes of each."""

    plan: TextsPlan
    account: Account = attrs.field(factory=Account)
    _seen: set[bytes] = attrs.field(factory=set)
    _placed: dict[bytes, str] = attrs.field(factory=dict)

    def admitted(self, on_event: Emit) -> Iterator[tuple[int, str, Record]]:
        """Source number, split and kept form of every kept record of the plan.

        Raises `InputError` when none is kept, or none in the training split.
        """
        for number, source, record in checked_records(self.plan.sources):
            if (admitted := self.admit(record)) is not None:
                yield number, *admitted
            if self.account.read % _PROGRESS_ROWS == 0:
                on_event(ProgressMade(phase="read", done=self.account.read, detail=source.id))
        for source in self.plan.sources:
            self.account.add_skipped(skipped_of(source.dataset))
        self.account.refuse_empty(self.plan)
        on_event(ProgressMade(phase="read", done=self.account.read, total=self.account.read))

    def admit(self, record: Record) -> tuple[str, Record] | None:
        """The split of a record and the form in which it is kept, or None when it was dropped."""
        account = self.account
        account.read += 1
        exact = self.plan.dedup == "exact"
        judged = judge(record, self.plan, is_known=self._seen.__contains__)
        if exact and any(key in self._seen for key in judged.keys):
            judged = Judged(reason="duplicate")
        if exact:
            self._seen.update(judged.keys)
        account.rules.update(judged.rules)
        account.redacted += judged.is_redacted
        if judged.reason is not None:
            account.dropped[judged.reason] += 1
            return None
        assert judged.record is not None and judged.split is not None, "what has no reason to go is kept"
        split = judged.split
        if not exact and not self.plan.splitter.by_index:
            split = self._placed.setdefault(judged.keys[-1], judged.split)
        account.kept[split] += 1
        return split, judged.record


def _unsupervised(record: Record) -> InputError:
    return InputError(
        code="DAT-026",
        what="nothing of this row is to be learned",
        where=f"{record.source[0]}:{record.source[1]}",
        why="no turn of it is both learned and longer than nothing",
        fix="repair the row, or drop such rows with data.unsupervised=drop",
    )


def _key(record: Record) -> bytes:
    """16 bytes that stand for the turns of a record: roles, texts with their lengths, and what is learned."""
    digest = hashlib.sha256()
    for turn in record.turns:
        role, text = turn.role.encode(), turn.text.encode()
        digest.update(b"%d %d %d " % (len(role), len(text), turn.learn))
        digest.update(role)
        digest.update(text)
    return digest.digest()[:16]

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
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from codex_core.canonical import canonical_json, digest_of
from codex_core.contracts import Emit, SafetyPolicy
from codex_core.data.parts import skipped_of
from codex_core.data.sources import Source, checked_records
from codex_core.data.splits import Splitter
from codex_core.errors import InputError
from codex_core.events import ProgressMade
from codex_core.records import Decision, Record, Turn

#: Raised by hand whenever this stage would give other bytes for the same identity.
STAGE_VERSION = 1

_PROGRESS_ROWS = 1000


@attrs.frozen(kw_only=True)
class Policy:
    """The safety policy of the plan, built: its canonical id and fingerprint."""

    id: str
    policy: SafetyPolicy
    fingerprint: str


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


@attrs.define
class Intake:
    """Takes records one by one, keeps count, and says what becomes of each."""

    plan: TextsPlan
    num_read: int = 0
    num_redacted: int = 0
    kept: Counter[str] = attrs.field(factory=Counter)
    dropped: Counter[str] = attrs.field(factory=Counter)
    skipped: Counter[str] = attrs.field(factory=Counter)
    rules: Counter[str] = attrs.field(factory=Counter)
    corpus: Any = attrs.field(factory=hashlib.sha256)
    _seen: set[bytes] = attrs.field(factory=set)
    _placed: dict[bytes, str] = attrs.field(factory=dict)

    def admitted(self, on_event: Emit) -> Iterator[tuple[int, str, Record]]:
        """Source number, split and kept form of every kept record of the plan.

        Raises `InputError` when none is kept, or none in the training split.
        """
        for number, source, record in checked_records(self.plan.sources):
            if (admitted := self.admit(record)) is not None:
                yield number, *admitted
            if self.num_read % _PROGRESS_ROWS == 0:
                on_event(ProgressMade(phase="read", done=self.num_read, detail=source.id))
        for source in self.plan.sources:
            self.add_skipped(skipped_of(source.dataset))
        self._refuse_empty()
        on_event(ProgressMade(phase="read", done=self.num_read, total=self.num_read))

    def add_skipped(self, skipped: Mapping[str, int]) -> None:
        """Count rows that a dataset read and skipped, by reason."""
        self.skipped.update(skipped)
        self.num_read += sum(skipped.values())

    def admit(self, record: Record) -> tuple[str, Record] | None:
        """The split of a record and the form in which it is kept, or None when it was dropped."""
        self.num_read += 1
        admitted = self._admit(record)
        if isinstance(admitted, str):
            self.dropped[admitted] += 1
            return None
        self.kept[admitted[0]] += 1
        return admitted

    def _admit(self, record: Record) -> tuple[str, Record] | str:
        if reason := self._known_or_empty(record):
            return reason
        inspected = self._inspect(record)
        if inspected is None:
            return "blocked"
        if inspected is not record:
            self.num_redacted += 1
            if reason := self._known_or_empty(inspected):
                return reason
        if not any(turn.learn and turn.text for turn in inspected.turns):
            self._refuse_unsupervised(inspected)
            return "unsupervised"
        split = self._split_of(inspected)
        for turn in inspected.turns:
            data = turn.text.encode()
            self.corpus.update(len(data).to_bytes(8, "big") + data)
        return split, inspected

    def _known_or_empty(self, record: Record) -> str | None:
        if not any(turn.text.strip() for turn in record.turns):
            return "empty"
        if self.plan.dedup == "exact":
            key = _key(record)
            if key in self._seen:
                return "duplicate"
            self._seen.add(key)
        return None

    def _inspect(self, record: Record) -> Record | None:
        """The record with redactions applied (itself when there are none), None when it may not pass."""
        if self.plan.policy is None:
            return record
        decisions = [self._decide(turn) for turn in record.turns]
        if not all(decision.allowed for decision in decisions):
            return None
        turns = tuple(
            turn if decision.text == turn.text else attrs.evolve(turn, text=decision.text)
            for turn, decision in zip(record.turns, decisions, strict=True)
        )
        return record if turns == record.turns else attrs.evolve(record, turns=turns)

    def _decide(self, turn: Turn) -> Decision:
        assert self.plan.policy is not None
        decision = self.plan.policy.policy.inspect(turn.text, "data")
        self.rules.update(match.rule for match in decision.matches)
        return decision

    def _split_of(self, record: Record) -> str:
        """By group or text; a text that was kept before (`dedup: none`) goes where that one went."""
        split = self.plan.splitter.split_of(record.text, group=record.group)
        return split if self.plan.dedup == "exact" else self._placed.setdefault(_key(record), split)

    def rows(self) -> dict[str, Any]:
        """The account of all rows: read = kept + dropped + skipped."""
        kept = self.kept.total()
        gone = self.dropped.total() + self.skipped.total()
        assert self.num_read == kept + gone, "rows were lost without a reason"
        return {
            "read": self.num_read,
            "kept": kept,
            "dropped": dict(sorted(self.dropped.items())),
            "skipped": dict(sorted(self.skipped.items())),
        }

    def safety(self) -> dict[str, Any]:
        """What the policy did: rows blocked and redacted, matches by rule."""
        policy = self.plan.policy
        return {
            "policy": policy and policy.id,
            "fingerprint": policy and policy.fingerprint,
            "stage": "data",
            "blocked": self.dropped["blocked"],
            "redacted": self.num_redacted,
            "matches": dict(sorted(self.rules.items())),
        }

    def _refuse_unsupervised(self, record: Record) -> None:
        if self.plan.unsupervised == "refuse":
            raise InputError(
                code="DAT-026",
                what="nothing of this row is to be learned",
                where=f"{record.source[0]}:{record.source[1]}",
                why="no turn of it is both learned and longer than nothing",
                fix="repair the row, or drop such rows with data.unsupervised=drop",
            )

    def _refuse_empty(self) -> None:
        where = ", ".join(f"data.sources[{i}] ({source.id})" for i, source in enumerate(self.plan.sources))
        if self.kept.total() == 0:
            gone = sorted((self.dropped + self.skipped).items())
            dropped = ", ".join(f"{count} {reason}" for reason, count in gone)
            raise InputError(
                code="DAT-002",
                what="the dataset is empty",
                where=where,
                why=f"{self.num_read} rows were read, none was kept" + (f": {dropped}" if dropped else ""),
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


def _key(record: Record) -> bytes:
    """16 bytes that stand for the turns of a record."""
    turns = [[turn.role, turn.text, turn.learn] for turn in record.turns]
    return hashlib.sha256(canonical_json(turns)).digest()[:16]

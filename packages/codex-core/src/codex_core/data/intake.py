"""What becomes of each record that a dataset yields: kept, in which form and split, or dropped for a reason.

Decisions: a document is dropped for exactly one reason, in this order: `empty` (nothing but white space),
`duplicate` (the same turns were read before), `blocked` (the policy), `empty` or `duplicate` again after
redaction, `unsupervised` (no turn is to be learned). Read = kept + dropped, always. The corpus digest runs over
each kept turn's UTF-8 length (8 bytes, big-endian) and bytes in the order read, so two machines can tell that they
read the same.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from typing import Any

import attrs

from codex_core.canonical import canonical_json, digest_of
from codex_core.contracts import Dataset, SafetyPolicy
from codex_core.data.splits import Splitter
from codex_core.records import Decision, Record, Turn

#: Raised by hand whenever this stage would give other bytes for the same identity.
STAGE_VERSION = 1


@attrs.frozen(kw_only=True)
class Source:
    """A dataset of the plan, built: its canonical id and what its rows depend on."""

    id: str
    dataset: Dataset
    identity: Mapping[str, Any]


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
        }

    def fingerprint(self) -> str:
        """`sha256:<hex>` of the identity."""
        return digest_of(self.identity())


@attrs.define
class Intake:
    """Takes records one by one, keeps count, and says what becomes of each."""

    plan: TextsPlan
    num_read: int = 0
    num_kept: int = 0
    num_redacted: int = 0
    dropped: Counter[str] = attrs.field(factory=Counter)
    rules: Counter[str] = attrs.field(factory=Counter)
    corpus: Any = attrs.field(factory=hashlib.sha256)
    _seen: set[bytes] = attrs.field(factory=set)
    _placed: dict[bytes, str] = attrs.field(factory=dict)

    def admit(self, record: Record) -> tuple[str, Record] | None:
        """The split of a record and the form in which it is kept, or None when it was dropped."""
        self.num_read += 1
        admitted = self._admit(record)
        if isinstance(admitted, str):
            self.dropped[admitted] += 1
            return None
        self.num_kept += 1
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
        """The account of all rows: read = kept + dropped."""
        assert self.num_read == self.num_kept + self.dropped.total(), "rows were lost without a reason"
        return {"read": self.num_read, "kept": self.num_kept, "dropped": dict(sorted(self.dropped.items()))}

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


def _key(record: Record) -> bytes:
    """16 bytes that stand for the turns of a record."""
    turns = [[turn.role, turn.text, turn.learn] for turn in record.turns]
    return hashlib.sha256(canonical_json(turns)).digest()[:16]

"""The safety policy of commands that take prompts: which one, and what it lets in."""

from __future__ import annotations

import attrs

from codex_core.cli.output import say
from codex_core.cli.session import Session
from codex_core.contracts import SafetyPolicy
from codex_core.errors import RunFailed
from codex_core.records import Record, Turn
from codex_core.running.project_journal import append


def policy_for(session: Session, bypass_reason: str | None, *, command: str) -> SafetyPolicy | None:
    """The installed policy; a bypass is said aloud and leaves an audit row."""
    if bypass_reason is None:
        return installed_policy(session)
    append(session.places, "safety_bypassed", {"command": command, "reason": bypass_reason})
    say(f"safety bypassed: {bypass_reason}")
    return None


def installed_policy(session: Session) -> SafetyPolicy | None:
    """The first usable policy, with its default options; that there is none is said aloud."""
    rows = [row for row in session.registry.rows if row.kind == "safety_policies" and row.state == "ok"]
    if not rows:
        say("no safety policy is installed: prompts and output pass as they are (pip install codex-safety)")
        return None
    options = session.registry.options_class(rows[0])
    policy: SafetyPolicy = session.registry.load(rows[0])(options() if options else None)
    return policy


def admitted(record: Record, policy: SafetyPolicy | None) -> Record:
    """A record as it may be read: redacted aloud; raises `RunFailed` when the policy blocks it."""
    if policy is None:
        return record
    turns = tuple(_admitted(turn, policy) for turn in record.turns)
    return record if turns == record.turns else attrs.evolve(record, turns=turns)


def _admitted(turn: Turn, policy: SafetyPolicy) -> Turn:
    decision = policy.inspect(turn.text, "prompt")
    if not decision.allowed:
        rules = ", ".join(sorted({match.rule for match in decision.matches}))
        raise RunFailed(
            code="GEN-002", what="the prompt was blocked by the safety policy", why=f"rules: {rules}"
        )
    if decision.matches:
        say(f"safety redacted {len(decision.matches)} span(s) of the prompt")
    return turn if decision.text == turn.text else attrs.evolve(turn, text=decision.text)

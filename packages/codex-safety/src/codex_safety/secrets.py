"""The policy `secrets`: keys, tokens and passwords are redacted, or block the text that holds them.

Decisions: the three stages are treated alike; a redaction reads `[REDACTED:rule]`, is the same on every machine
and is itself no match, so that redacting twice changes nothing; a match carries the rule and the span, never what
was found.
"""

from __future__ import annotations

import difflib

from codex_core.canonical import digest_of
from codex_core.errors import PolicyError
from codex_core.records import Decision
from codex_safety.assignments import ASSIGNED_SECRET
from codex_safety.options import SecretsOptions
from codex_safety.private_keys import PRIVATE_KEY
from codex_safety.rules import TOKEN_RULES, Rule
from codex_safety.stream import RedactingStream, RuleSet
from codex_safety.urls import URL_PASSWORD

STAGES = ("data", "prompt", "output")

#: All rules; where two find the same span, the earlier names it.
RULES: tuple[Rule, ...] = (*TOKEN_RULES, PRIVATE_KEY, URL_PASSWORD, ASSIGNED_SECRET)

#: Part of every fingerprint; rises with every change of what any rule finds.
RULES_VERSION = 1


class SecretsPolicy:
    """Finds secrets and redacts them, or blocks; see `codex_core.contracts.SafetyPolicy`."""

    def __init__(self, options: SecretsOptions | None = None) -> None:
        self.options = options or SecretsOptions()
        self.rules = _chosen(self.options.off)
        self._rule_set = RuleSet(self.rules)

    def inspect(self, text: str, stage: str) -> Decision:
        """Whether the text may pass, in which form, and what matched."""
        shown, matches = self.stream(stage).close(text)
        is_allowed = not matches or self.options.action == "redact"
        return Decision(allowed=is_allowed, text=shown, matches=matches)

    def stream(self, stage: str) -> RedactingStream:
        """Inspect text that arrives in pieces; any pieces give what the whole text gives."""
        if stage not in STAGES:
            raise PolicyError(
                code="SAF-001",
                what=f"there is no stage {stage!r}",
                fix=f"one of {', '.join(STAGES)}",
            )
        return RedactingStream(self._rule_set, action=self.options.action)

    def fingerprint(self) -> str:
        """`sha256:<hex>` over rules and action."""
        return digest_of(
            {
                "policy": "secrets",
                "version": RULES_VERSION,
                "action": self.options.action,
                "rules": [
                    {"name": rule.name, "literals": list(rule.literals), "pattern": rule.pattern.pattern}
                    for rule in self.rules
                ],
            }
        )


def _chosen(off: tuple[str, ...]) -> tuple[Rule, ...]:
    """The rules that are not switched off; raises `PolicyError` for a name that no rule has."""
    names = [rule.name for rule in RULES]
    for name in off:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            raise PolicyError(
                code="SAF-003",
                what=f"no rule of the policy 'secrets' is called {name!r}",
                where="safety.off",
                why=f"did you mean {near[0]!r}?" if near else None,
                fix=f"one of {', '.join(names)}",
            )
    return tuple(rule for rule in RULES if rule.name not in off)

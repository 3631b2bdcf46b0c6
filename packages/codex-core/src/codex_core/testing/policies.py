"""What every safety policy must do."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from itertools import pairwise
from random import Random
from typing import Any

from codex_core.contracts import SafetyPolicy
from codex_core.records import Decision, Match
from codex_core.testing.claims import claim

STAGES = ("data", "prompt", "output")
HARMLESS = ("", "plain text", "two\nlines, é and \U0001f680", "x" * 500)


def check_policy(
    cls: Callable[[Any], SafetyPolicy],
    options: Any,
    *,
    forbidden: Sequence[str],
    harmless: Sequence[str] = HARMLESS,
    capabilities: Collection[str] = (),
) -> None:
    """Inspect texts whole and in pieces; each of `forbidden` must match some rule, none of `harmless` may.

    A policy that declares `redact` or `block` among its `capabilities` does what it declares and nothing else.
    """
    policy = cls(options)
    claim(isinstance(policy, SafetyPolicy), "the target's objects lack a member of contracts.SafetyPolicy")
    claim(policy.fingerprint() == cls(options).fingerprint(), "two objects give two fingerprints")
    claim(policy.fingerprint().startswith("sha256:"), "a fingerprint reads sha256:<hex>")
    for stage in STAGES:
        for text in harmless:
            clean = policy.inspect(text, stage)
            claim(
                clean == Decision(allowed=True, text=text), f"{text[:20]!r} must pass stage {stage} unchanged"
            )
            _check_stream(policy, text, stage, clean)
        for secret in forbidden:
            _check_forbidden(policy, secret, stage)
            done = "redact" if policy.inspect(secret, stage).allowed else "block"
            claim(
                done in capabilities or not {"redact", "block"}.intersection(capabilities),
                f"the policy does `{done}` at stage {stage}, which it does not declare as a capability",
            )


def _check_forbidden(policy: SafetyPolicy, secret: str, stage: str) -> None:
    for text in (secret, f"before {secret} after", f"{secret}\n{secret}"):
        decision = policy.inspect(text, stage)
        claim(bool(decision.matches), f"a forbidden text passed stage {stage} without a match")
        for match in decision.matches:
            claim(0 <= match.start < match.end <= len(text), "a match lies outside the inspected text")
            claim(secret not in match.rule and secret not in match.action, "a match carries the matched text")
        claim(
            not decision.allowed or secret not in decision.text,
            "an allowed text still holds what is forbidden",
        )
        claim(policy.inspect(text, stage) == decision, "inspecting twice gives two decisions")
        _check_stream(policy, text, stage, decision)


def _check_stream(policy: SafetyPolicy, text: str, stage: str, whole: Decision) -> None:
    chance = Random(len(text))
    cuts = [[], list(range(1, len(text)))]
    cuts += [sorted(chance.sample(range(len(text) + 1), min(len(text), 5))) for _ in range(4)]
    expected = _streamed(policy, text, stage, [])
    if whole.allowed:
        claim(
            expected == (whole.text, whole.matches), f"a stream at stage {stage} differs from the whole text"
        )
    for places in cuts:
        claim(
            _streamed(policy, text, stage, places) == expected,
            f"chunks change what stage {stage} lets through",
        )


def _streamed(
    policy: SafetyPolicy, text: str, stage: str, places: Sequence[int]
) -> tuple[str, tuple[Match, ...]]:
    stream = policy.stream(stage)
    shown = [stream.push(text[start:end]) for start, end in pairwise([0, *places, len(text)])]
    rest, matches = stream.close()
    return "".join(shown) + rest, matches

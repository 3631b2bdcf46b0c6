"""Offers the policy `secrets` and the commands under `codex safety`."""

from __future__ import annotations

from codex_core import Component, hookimpl

CODEX_API = (1, 0)
CODEX_EXAMPLES = "codex_safety.examples:examples"


@hookimpl
def codex_safety_policies() -> list[Component]:
    return [
        Component(
            "secrets",
            target="codex_safety.secrets:SecretsPolicy",
            options="codex_safety.options:SecretsOptions",
            summary="Finds keys, tokens and passwords in text; redacts them or blocks the text",
            capabilities=("redact", "block", "stream"),
        )
    ]


@hookimpl
def codex_commands() -> list[Component]:
    return [
        Component(
            "safety",
            target="codex_safety.cli:safety",
            summary="Scan files for secrets",
            requires=("click",),
        )
    ]

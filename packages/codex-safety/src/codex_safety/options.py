"""Options of the safety policies."""

from __future__ import annotations

import attrs

from codex_core import option


@attrs.frozen(kw_only=True)
class SecretsOptions:
    """Options of the policy `secrets`."""

    action: str = option(
        "redact",
        doc="replace each secret by `[REDACTED:rule]`, or block the text that holds one",
        choices=("redact", "block"),
    )
    off: tuple[str, ...] = option((), doc="names of rules that are not applied")

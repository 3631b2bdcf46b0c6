"""One fact that `codex doctor` found: where it stands, and for what is not in order cause, effect and fix."""

from __future__ import annotations

import attrs

#: `ok`; `absent`: optional and not there; `unknown`: not asked; `warn`: works, but not as it should; `bad`: does not.
STATES = ("ok", "absent", "unknown", "warn", "bad")


@attrs.frozen(kw_only=True)
class Finding:
    """A row of the doctor's table; whoever requires a capability means the `name` of a row."""

    area: str
    name: str
    state: str
    value: str
    cause: str | None = None
    effect: str | None = None
    fix: str | None = None


def ok(area: str, name: str, value: str) -> Finding:
    """A row that is in order."""
    return Finding(area=area, name=name, state="ok", value=value)

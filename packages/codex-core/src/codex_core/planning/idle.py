"""Values that were set and have no effect, because of what another option says.

Decision: they are told and not refused, so that an experiment can switch one option back and forth; a value that
equals the default is not told, because a resolved configuration writes all of them out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from codex_core.planning.choices import Resolved
from codex_core.planning.yamlout import flow

if TYPE_CHECKING:
    from codex_core.config import RunConfig


def idle_values(config: RunConfig, found: Mapping[str, Resolved]) -> Iterator[str]:
    """A sentence for every option that differs from its default and needs another value beside it (`only_with`)."""
    names = ("run", "data", "checkpoint", "evaluation", "telemetry")
    holders: dict[str, Any] = {name: getattr(config, name) for name in names}
    holders |= {section: resolved.typed for section, resolved in found.items()}
    for section, holder in holders.items():
        for field in attrs.fields(type(holder)) if attrs.has(type(holder)) else ():
            needed = field.metadata.get("only_with")
            if needed is None or getattr(holder, field.name) == field.default:
                continue
            if getattr(holder, needed[0]) not in needed[1]:
                path = f"{section}.{field.name}"
                place = f" ({config.written[path]})" if path in config.written else ""
                yield f"{path}{place} has no effect: it counts {only_with_words(needed)}"


def only_with_words(needed: tuple[str, tuple[Any, ...]]) -> str:
    """When an option counts, in words.

    >>> only_with_words(("system_metrics", ("cpu", "gpu")))
    'only with system_metrics: cpu or gpu'
    """
    return f"only with {needed[0]}: {' or '.join(map(flow, needed[1]))}"
